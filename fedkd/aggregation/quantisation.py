"""Quantisation: values as whole multiples of a public step, and their sums."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.messages.types import LowRankUpdate, Quantiser, SparseUpdate, Spec


def quantised(values: Any, spec: Spec) -> Any:
    """Return values as whole multiples of the quantiser's step within its bounds; as they are without a quantiser.

    Whole numbers of a ``SparseUpdate`` stay as they are, and a difference of two may have any sign.
    A ``LowRankUpdate`` with a right factor of zeros and ones is rounded in its left factor: the products are the same.

    Parameters
    ----------
    values : ndarray, LowRankUpdate, SparseUpdate or Ragged
        Of any shape.
    spec : Spec
        The form of the values.
    """
    quantiser = spec.quantiser
    if quantiser is None or (isinstance(values, SparseUpdate) and values.value.dtype.kind == "i"):
        return values
    if isinstance(values, SparseUpdate):
        return replace(values, value=_rounded(values.value, quantiser))
    if isinstance(values, LowRankUpdate):
        right = stored(values.right)
        if not ((right == 0) | (right == 1)).all():
            raise ValueError("an outer product can be coded only if its right factor holds zeros and ones")
        left = values.left.copy()
        if isinstance(left, sparse.csr_array):
            left.data = _rounded(left.data, quantiser)
        else:
            left = sparse.csr_array(_rounded(left, quantiser))  # dense whole numbers would be multiplied one by one
        return LowRankUpdate(left, values.right.astype(np.int64), values.owner)
    return _rounded(values, quantiser)


def in_units(total: Any, spec: Spec) -> Any:
    """Return a sum of coded values in the units of the values; whole multiples of 1 stay whole numbers."""
    return total if spec.quantiser is None or spec.quantiser.step == 1 else total * spec.quantiser.step


def summed(values: Any, spec: Spec) -> Any:
    """Return the sum over clients, exact for whole numbers and in double precision for others; rows stay rows.

    Parameters
    ----------
    values : ndarray, LowRankUpdate, SparseUpdate or Ragged
        One leading row per client, factors, or entries.
    spec : Spec
        The form of the values.
    """
    if not spec.sums:
        return values
    if isinstance(values, LowRankUpdate | SparseUpdate):
        return values.total().reshape(spec.shape)
    return values.sum(axis=0, dtype=np.int64 if spec.quantiser is not None else np.float64)


def stored(matrix: Any) -> NDArray[Any]:
    """Return the numbers that a dense or sparse matrix stores."""
    return np.asarray(matrix.data if isinstance(matrix, sparse.csr_array) else matrix)


def _rounded(values: NDArray[Any], quantiser: Quantiser) -> NDArray[np.int64]:
    coded = np.rint(np.asarray(values, np.float64) / quantiser.step)
    return np.clip(coded, quantiser.low, quantiser.high).astype(np.int64)
