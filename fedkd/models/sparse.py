"""The sparse linear student: of every item's weights in a large linear model, the largest ones alone.

Order-aware and large-catalogue weights are sparse and not of low rank, so pruning keeps more of them than factors of
the same size do.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.models.base import Recommender, multi_hot
from fedkd.models.ease import EASE, fit_ease

BLOCK = 1024
"""Rows of weights that are sorted at a time."""


class SparseLinear(Recommender):
    """Adds up the few weights of every item in the history; frozen, two stored numbers for each weight.

    Parameters
    ----------
    targets : ndarray of int32, shape [items, kept]
        The items that an item of the history speaks for.
    weights : ndarray of float32, shape [items, kept]
        What it gives them; 0 where there are fewer.
    """

    targets: Tensor
    weights: Tensor

    def __init__(self, targets: NDArray[np.integer[Any]], weights: NDArray[np.floating[Any]]) -> None:
        super().__init__(len(targets))
        self.register_buffer("targets", torch.from_numpy(np.asarray(targets, np.int32)))
        self.register_buffer("weights", torch.from_numpy(np.asarray(weights, np.float32)))

    def hidden(self, history: Tensor) -> Tensor:
        """Return the history as a binary vector, shape [batch, items]: there is no layer between."""
        return multi_hot(history, self.num_items)

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        targets, weights = (pad(table, (0, 0, 0, 1)) for table in (self.targets, self.weights))
        zeros = torch.zeros(len(history), self.num_items, device=history.device)
        return zeros.scatter_add(1, targets[history].flatten(1).long(), weights[history].flatten(1))


def pruned(model: EASE, kept: int) -> SparseLinear:
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
    return SparseLinear(targets, np.take_along_axis(full, targets, 1))


def fit_sparse(interactions: Interactions, l2: float = 300.0, kept: int = 32) -> SparseLinear:
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
