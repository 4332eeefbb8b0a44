"""The denoising autoencoder over histories: one tanh layer between an item table in and an item table out.

Wu et al., Collaborative denoising auto-encoders, WSDM 2016 (without its user node), and Liang et al., Variational
autoencoders for collaborative filtering, WWW 2018 (Mult-DAE: input of unit length, input dropout).
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from fedkd.data.catalogue import Catalogue
from fedkd.models.base import ModelConfig, Recommender, multi_hot
from fedkd.models.item_table import FULL, ItemTableOptions, item_scores, item_sum, item_tables


class AutoencoderConfig(ModelConfig):
    """Settings of the denoising autoencoder.

    Attributes
    ----------
    width : int
        Hidden units.
    dropout : float
        Share of a history's items that is hidden in training.
    items : ItemTableOptions
        The item tables.
    """

    family: Literal["autoencoder"] = "autoencoder"
    width: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    items: ItemTableOptions = ItemTableOptions()

    def untrained(self, catalogue: Catalogue) -> "Autoencoder":
        """Return a new model."""
        return Autoencoder(catalogue, self.width, self.dropout, self.items)


class Autoencoder(Recommender):
    """Scores ``tanh(x W / |x| + b) V^T + c`` for a binary history ``x``.

    Parameters
    ----------
    catalogue : Catalogue
        The items.
    width : int
        Hidden units; about 200 makes a teacher of MovieLens, 32 a student.
    dropout : float
        Share of a history's items that is hidden in training; the rest is scaled up.
    items : ItemTableOptions
        The item tables.
    """

    def __init__(self, catalogue: Catalogue, width: int, dropout: float = 0.0, items: ItemTableOptions = FULL) -> None:
        super().__init__(len(catalogue))
        self.encoder = item_sum(catalogue, width, width**-0.5, True, items)
        self.decoder = item_scores(catalogue, width, width**-0.5, True, items, self.encoder)
        self.dropout = nn.Dropout(dropout)
        vars(self)["item_tables"] = item_tables(self)

    def hidden(self, history: Tensor) -> Tensor:
        """Return the tanh layer, shape [batch, width]."""
        items = self.encoder.num_items
        count = (history < items).float().sum(-1, keepdim=True).clamp(min=1.0)
        shown = self.dropout(torch.ones(history.shape, device=history.device))
        return torch.tanh(self.encoder(multi_hot(history, items, shown) / count.sqrt()))

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        scores: Tensor = self.decoder(self.hidden(history))
        return scores
