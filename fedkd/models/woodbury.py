"""EASE for a Gram matrix of low rank plus a diagonal, kept in factors: for catalogues too large for items x items."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedkd.models.base import Recommender, multi_hot, row_sums


class WoodburyEASE(Recommender):
    """Scores ``x - x P / diag(P)`` with ``P = diag(s) (I - A^T A) diag(s)``, never holding ``P``.

    Parameters
    ----------
    root : ndarray, shape [rank, items]
        The matrix ``A``; the squares of every column sum to less than 1.
    scale : ndarray, shape [items]
        The vector ``s``, positive.

    Attributes
    ----------
    root : Tensor of float32, shape [items, rank]
        ``A^T``: a history reads rows.
    scale, stiffness : Tensor of float32, shape [items]
        ``s``, and ``1 / diag(P)``.
    """

    root: Tensor
    scale: Tensor
    stiffness: Tensor

    def __init__(self, root: NDArray[Any], scale: NDArray[Any]) -> None:
        super().__init__(len(scale))
        diagonal = np.square(scale) * (1.0 - np.einsum("ij,ij->j", root, root))
        self.register_buffer("root", torch.from_numpy(np.ascontiguousarray(root.T, np.float32)))
        self.register_buffer("scale", torch.from_numpy(np.asarray(scale, np.float32)))
        self.register_buffer("stiffness", torch.from_numpy((1.0 / diagonal).astype(np.float32)))

    def hidden(self, history: Tensor) -> Tensor:
        """Return ``(x s) A^T``, shape [batch, rank]."""
        return row_sums(self.root, history, self.scale)

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]; the diagonal of the weights is 0 up to rounding."""
        own = multi_hot(history, self.num_items)
        projected = self.scale * (own * self.scale - self.hidden(history) @ self.root.T)
        return own - projected * self.stiffness
