"""Answers on the grid that everyone knows, as whole numbers, and their sums."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.messages.types import Grid, Outer, Spec


def coded(values: Any, spec: Spec) -> Any:
    """Return values as they travel: on the spec's grid, and summed over the clients where the spec sums.

    Parameters
    ----------
    values : ndarray, Outer or Ragged
        One leading row per client, or factors.
    spec : Spec
    """
    if spec.grid is not None:
        values = _on_grid(values, spec.grid)
    if not spec.sums:
        return values
    if isinstance(values, Outer):
        return values.total().reshape(spec.shape)
    return values.sum(axis=0, dtype=np.int64 if spec.grid is not None else np.float64)


def stored(matrix: Any) -> NDArray[Any]:
    """Return the numbers that a dense or sparse matrix stores."""
    return np.asarray(matrix.data if isinstance(matrix, sparse.csr_array) else matrix)


def _on_grid(values: Any, grid: Grid) -> Any:
    """Round to the nearest multiple of the step, as whole numbers within the grid's bounds.

    An ``Outer`` with a right factor of zeros and ones is rounded in its left factor: the products are the same.
    """
    if isinstance(values, Outer):
        if not np.isin(stored(values.right), (0, 1)).all():
            raise ValueError("an outer product can be coded only if its right factor holds zeros and ones")
        left = values.left.copy()
        if isinstance(left, sparse.csr_array):
            left.data = _round(left.data, grid)
        else:
            left = _round(left, grid)
        return Outer(left, values.right.astype(np.int64), values.owner)
    return _round(values, grid)


def _round(values: NDArray[Any], grid: Grid) -> NDArray[np.int64]:
    return np.clip(np.rint(np.asarray(values, np.float64) / grid.step), grid.low, grid.high).astype(np.int64)
