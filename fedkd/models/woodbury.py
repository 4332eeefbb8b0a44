"""Linear models of a Gram matrix of low rank plus a diagonal, in factors: for catalogues too large for matrices."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedkd.models.base import Recommender, multi_hot, row_sums


class WoodburyEASE(Recommender):
    """Scores ``-x P diag(t)`` off the diagonal, with ``P = diag(s) (I - A^T A) diag(s)``, never holding ``P``.

    With ``t = 1 / diag(P)`` this is EASE.

    Parameters
    ----------
    root : ndarray, shape [rank, items]
        The matrix ``A``; the squares of every column sum to less than 1.
    scale : ndarray, shape [items]
        The vector ``s``, positive.
    stiffness : ndarray, shape [items], optional
        The vector ``t``; EASE's without it.

    Attributes
    ----------
    root : Tensor of float32, shape [items, rank]
        ``A^T``: a history reads rows.
    scale, stiffness : Tensor of float32, shape [items]
        ``s`` and ``t``.
    own : Tensor of float32, shape [items]
        ``t diag(P)``, with which an item's score for itself is 0; not stored.
    """

    root: Tensor
    scale: Tensor
    stiffness: Tensor
    own: Tensor

    def __init__(self, root: NDArray[Any], scale: NDArray[Any], stiffness: NDArray[Any] | None = None) -> None:
        super().__init__(len(scale))
        diagonal = np.square(scale) * (1.0 - np.einsum("ij,ij->j", root, root))
        self.register_buffer("root", torch.from_numpy(np.ascontiguousarray(root.T, np.float32)))
        self.register_buffer("scale", torch.from_numpy(np.asarray(scale, np.float32)))
        stiff = 1.0 / diagonal if stiffness is None else np.asarray(stiffness)
        self.register_buffer("stiffness", torch.from_numpy(stiff.astype(np.float32)))
        self.register_buffer("own", torch.from_numpy((stiff * diagonal).astype(np.float32)), persistent=False)

    def hidden(self, history: Tensor) -> Tensor:
        """Return ``(x s) A^T``, shape [batch, rank]."""
        return row_sums(self.root, history, self.scale)

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]; the diagonal of the weights is 0 up to rounding."""
        own = multi_hot(history, self.num_items)
        projected = self.scale * (own * self.scale - self.hidden(history) @ self.root.T)
        return own * self.own - projected * self.stiffness
