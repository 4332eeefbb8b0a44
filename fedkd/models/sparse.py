"""The sparse linear student: of every item's weights in a large linear model, the largest ones alone.

Order-aware and large-catalogue weights are sparse and not of low rank, so pruning keeps more of them than factors of
the same size do.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.models.decayed_linear import SparseDecayed
from fedkd.models.ease import EASE, fit_ease

BLOCK = 1024
"""Rows of weights that are sorted at a time."""


def pruned(model: EASE, kept: int) -> SparseDecayed:
    """Return the student that keeps the largest weights, by absolute value, of every row of a full matrix.

    Parameters
    ----------
    model : EASE
        The teacher, with weights of shape [items, items].
    kept : int
        Weights of a row, cut to the number of items.

    Raises
    ------
    UserError
        Nothing would be kept.
    """
    if kept < 1:
        raise UserError(
            f"a sparse student keeps {kept} weights of an item; it must keep one at least, 32 suits MovieLens"
        )
    full = model.weights.numpy()
    kept = min(kept, full.shape[1])
    parts = [_largest(full[start : start + BLOCK], kept) for start in range(0, len(full), BLOCK)]
    targets = np.concatenate([np.zeros((0, kept), np.int64), *parts])
    values = np.take_along_axis(full, targets, 1).reshape(-1)
    starts = np.arange(len(full) + 1) * kept
    return SparseDecayed(sparse.csr_array((values, targets.reshape(-1), starts), shape=full.shape), np.zeros(1))


def fit_sparse(interactions: Interactions, l2: float = 300.0, kept: int = 32) -> SparseDecayed:
    """Return EASE of a training set, pruned.

    Parameters
    ----------
    interactions : Interactions
        The training set.
    l2 : float
        The ridge of EASE.
    kept : int
        Weights of a row.
    """
    return pruned(fit_ease(interactions, l2), kept)


def _largest(rows: NDArray[np.float32], kept: int) -> NDArray[np.int64]:
    """Return the columns of the largest weights of every row, ascending, shape [rows, kept]."""
    return np.sort(np.argpartition(-np.abs(rows), kept - 1, axis=1)[:, :kept], axis=1)
