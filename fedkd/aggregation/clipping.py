"""Clipping, which bounds the norm of each client's values before noise is drawn for them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.messages.types import LowRankUpdate, Quantiser, SparseUpdate, Spec


def clipped(values: Any, spec: Spec, count: int) -> Any:
    """Return values of the quantiser whose Euclidean norm, client by client, is at most the clip.

    Values that are not finite become zero first. Rounding towards zero never makes a norm larger, so the bound holds
    exactly for the integers. All arithmetic is in double precision, scaled by the largest magnitude, so nothing
    overflows.

    Parameters
    ----------
    values : ndarray, LowRankUpdate or SparseUpdate
        One leading row per client, factors, or entries.
    spec : Spec
        The form of the values, with a clip and a quantiser.
    count : int
        How many clients.

    Returns
    -------
    ndarray, LowRankUpdate or SparseUpdate
        Multiples of the quantiser's step.
    """
    assert spec.clip is not None
    assert spec.quantiser is not None
    if isinstance(values, LowRankUpdate):
        return _clipped_outer(values, spec.clip, spec.quantiser, count)
    if isinstance(values, SparseUpdate):
        return _clipped_entries(values, spec.clip, spec.quantiser, count)
    flat = np.asarray(values, np.float64).reshape(count, -1)
    short = _shortened(flat, np.full(count, spec.clip))
    return (np.trunc(short / spec.quantiser.step) * spec.quantiser.step).reshape(np.shape(values))


LARGEST = 1e150
"""Magnitude from which right factors count as zero, because their norm would overflow."""

ROUNDING = 1e-12
"""Share by which a clip is reduced, so that no floating-point error ever exceeds it."""


def _clipped_outer(values: LowRankUpdate, clip: float, grid: Quantiser, count: int) -> LowRankUpdate:
    """Clip factors: first every row's product, then the sum of a client's rows by the triangle inequality.

    Cross terms would be tighter and could cancel beyond double precision; a client of one user has none.
    """
    right = np.nan_to_num(_dense(values.right), nan=0.0, posinf=0.0, neginf=0.0)
    right *= np.abs(right).max(axis=1, initial=0.0, keepdims=True) < LARGEST  # squares of larger ones overflow
    size = np.linalg.norm(right, axis=1)
    left = _shortened(_dense(values.left), np.divide(clip, size, out=np.zeros_like(size), where=size > 0))
    total = np.bincount(values.owner, np.linalg.norm(left, axis=1) * size, minlength=count)
    factor = np.where(total > clip, (1 - ROUNDING) * clip / np.where(total > 0, total, 1.0), 1.0)[values.owner]
    return LowRankUpdate(np.trunc(left * factor[:, None] / grid.step) * grid.step, right, values.owner)


def _clipped_entries(values: SparseUpdate, clip: float, grid: Quantiser, count: int) -> SparseUpdate:
    """Clip entries, of which those of one client at one position are added first."""
    entries = (np.asarray(values.value, np.float64), (values.owner, values.position))
    rows = sparse.csr_array(sparse.coo_array(entries, shape=(count, values.size)))  # adds what is at one place
    finite = np.nan_to_num(rows.data, nan=0.0, posinf=0.0, neginf=0.0)
    finite[np.abs(finite) > LARGEST] = 0.0  # their squares overflow
    owner = np.repeat(np.arange(count), np.diff(rows.indptr))
    norm = np.sqrt(np.bincount(owner, finite**2, minlength=count))
    factor = np.where(norm > clip, (1 - ROUNDING) * clip / np.where(norm > 0, norm, 1.0), 1.0)[owner]
    short = np.trunc(finite * factor / grid.step) * grid.step
    return SparseUpdate(rows.indices.astype(np.int64), short, owner, values.size)


def _shortened(rows: NDArray[np.float64], longest: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows scaled down to their greatest norms, without overflow; values that are not finite become zero."""
    finite = np.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)
    largest = np.abs(finite).max(axis=1, initial=0.0)
    scaled = finite / np.where(largest > 0, largest, 1.0)[:, None]
    norm = np.linalg.norm(scaled, axis=1)
    with np.errstate(over="ignore"):  # beyond the largest number a bound is none
        long = norm > longest / np.where(largest > 0, largest, 1.0)
    factor = np.where(long, (1 - ROUNDING) * longest / np.where(norm > 0, norm, 1.0), largest)
    return np.asarray(scaled * factor[:, None])


def _dense(matrix: Any) -> NDArray[np.float64]:
    return np.asarray(matrix.toarray() if isinstance(matrix, sparse.csr_array) else matrix, np.float64)
