"""The linear model of low rank: a history is the sum of its items' rows, a score its product with an item's row."""

from typing import ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from fedkd.data.catalogue import Catalogue
from fedkd.models.base import ItemSum, ModelConfig, Recommender, item_scores, multi_hot


class LinearConfig(ModelConfig):
    """Settings of the linear model of low rank.

    Attributes
    ----------
    width : int
        The rank.
    dropout : float
        Share of a history's items that is hidden in training.
    """

    family: Literal["linear"] = "linear"
    width: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)

    def untrained(self, catalogue: Catalogue) -> "LowRank":
        """Return a new model."""
        return LowRank(len(catalogue), self.width, self.dropout)


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
    encoder, decoder : Module
        Their weights, shape [items, rank], are the factors ``A`` and ``C``.
    """

    item_tables: ClassVar[dict[str, int]] = {"encoder.weight": 0, "decoder.weight": 0}

    def __init__(self, num_items: int, rank: int, dropout: float = 0.0) -> None:
        super().__init__(num_items)
        self.encoder = ItemSum(num_items, rank, 0.1 * rank**-0.5, bias=False)
        self.decoder = item_scores(num_items, rank, 0.1, bias=False)
        self.dropout = nn.Dropout(dropout)

    @classmethod
    def from_factors(cls, encoder: NDArray[np.floating], decoder: NDArray[np.floating]) -> Self:
        """Return the model with given factors ``A`` and ``C``, each of shape [items, rank]."""
        model = cls(*encoder.shape)
        with torch.no_grad():
            model.encoder.weight.copy_(torch.from_numpy(np.asarray(encoder, np.float32)))
            model.decoder.weight.copy_(torch.from_numpy(np.asarray(decoder, np.float32)))
        return model

    def hidden(self, history: Tensor) -> Tensor:
        """Return ``x A``, shape [batch, rank]."""
        weight = self.encoder.weight
        shown = self.dropout(torch.ones_like(history, dtype=weight.dtype))
        total: Tensor = self.encoder(multi_hot(history, len(weight), shown))
        return total

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        scores: Tensor = self.decoder(self.hidden(history))
        return scores
