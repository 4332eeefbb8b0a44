"""The linear student of low rank: a history is the sum of its items' rows, a score its product with an item's row."""

from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedkd.models.base import Recommender, multi_hot


class LowRank(Recommender):
    """Scores ``x A C^T`` for a binary history ``x``; small, and trained by gradient or written down in closed form.

    Parameters
    ----------
    num_items : int
        Size of the catalogue.
    rank : int
        Width ``d`` of both factors; the model has ``2 * num_items * d`` numbers.
    dropout : float
        Share of a history's items that is hidden in training; the rest is scaled up.

    Attributes
    ----------
    encoder, decoder : Parameter, shape [items, rank]
        The factors ``A`` and ``C``.
    """

    item_tables: ClassVar[dict[str, int]] = {"encoder": 0, "decoder": 0}

    def __init__(self, num_items: int, rank: int, dropout: float = 0.0) -> None:
        super().__init__(num_items)
        self.encoder = nn.Parameter(torch.randn(num_items, rank) * 0.1 * rank**-0.5)
        self.decoder = nn.Parameter(torch.randn(num_items, rank) * 0.1)
        self.dropout = nn.Dropout(dropout)

    @classmethod
    def from_factors(cls, encoder: NDArray[np.floating], decoder: NDArray[np.floating]) -> Self:
        """Return the model with given factors ``A`` and ``C``, each of shape [items, rank]."""
        model = cls(*encoder.shape)
        with torch.no_grad():
            model.encoder.copy_(torch.from_numpy(np.asarray(encoder, np.float32)))
            model.decoder.copy_(torch.from_numpy(np.asarray(decoder, np.float32)))
        return model

    def hidden(self, history: Tensor) -> Tensor:
        """Return ``x A``, shape [batch, rank]."""
        shown = self.dropout(torch.ones_like(history, dtype=self.encoder.dtype))
        return multi_hot(history, len(self.encoder), shown) @ self.encoder

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        return self.hidden(history) @ self.decoder.T
