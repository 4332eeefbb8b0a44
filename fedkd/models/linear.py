"""The linear model of low rank: a history is the sum of its items' rows, a score its product with an item's row."""

from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from fedkd.data.catalogue import Catalogue
from fedkd.models.base import ModelConfig, Recommender, multi_hot
from fedkd.models.item_table import FULL, ItemTableOptions, item_scores, item_sum, item_tables


class LinearConfig(ModelConfig):
    """Settings of the linear model of low rank.

    Attributes
    ----------
    width : int
        The rank.
    dropout : float
        Share of a history's items that is hidden in training.
    items : ItemTableOptions
        The item tables.
    """

    family: Literal["linear"] = "linear"
    width: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    items: ItemTableOptions = ItemTableOptions()

    def untrained(self, catalogue: Catalogue) -> "LowRank":
        """Return a new model."""
        return LowRank(catalogue, self.width, self.dropout, self.items)


class LowRank(Recommender):
    """Scores ``x A C^T`` for a binary history ``x``; small, and trained by gradient or written down in closed form.

    Parameters
    ----------
    catalogue : Catalogue
        The items.
    rank : int
        Width ``d`` of both factors; with full tables the model has ``2 * items * d`` numbers.
    dropout : float
        Share of a history's items that is hidden in training; the rest is scaled up.
    items : ItemTableOptions
        The item tables.

    Attributes
    ----------
    encoder, decoder : Module
        Their weights, shape [items, rank], are the factors ``A`` and ``C``.
    """

    def __init__(self, catalogue: Catalogue, rank: int, dropout: float = 0.0, items: ItemTableOptions = FULL) -> None:
        super().__init__(len(catalogue))
        self.encoder = item_sum(catalogue, rank, 0.1 * rank**-0.5, False, items)
        self.decoder = item_scores(catalogue, rank, 0.1, False, items, self.encoder)
        self.dropout = nn.Dropout(dropout)
        vars(self)["item_tables"] = item_tables(self)

    @classmethod
    def from_factors(cls, encoder: NDArray[np.floating], decoder: NDArray[np.floating]) -> Self:
        """Return the model with given factors ``A`` and ``C``, each of shape [items, rank]."""
        model = cls(Catalogue.numbered(len(encoder)), encoder.shape[1])
        arrays = {"encoder.weight": encoder, "decoder.weight": decoder}
        model.load_state_dict({name: torch.from_numpy(np.array(a, np.float32)) for name, a in arrays.items()})
        return model

    def hidden(self, history: Tensor) -> Tensor:
        """Return ``x A``, shape [batch, rank]."""
        shown = self.dropout(torch.ones(history.shape, device=history.device))
        total: Tensor = self.encoder(multi_hot(history, self.encoder.num_items, shown))
        return total

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        scores: Tensor = self.decoder(self.hidden(history))
        return scores
