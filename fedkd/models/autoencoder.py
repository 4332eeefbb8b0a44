"""The denoising autoencoder over histories: one tanh layer between an item table in and an item table out.

Wu et al., Collaborative denoising auto-encoders, WSDM 2016 (without its user node), and Liang et al., Variational
autoencoders for collaborative filtering, WWW 2018 (Mult-DAE: input of unit length, input dropout).
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from fedkd.data.catalogue import Catalogue
from fedkd.models.base import ItemSum, ModelConfig, Recommender, item_scores, multi_hot


class AutoencoderConfig(ModelConfig):
    """Settings of the denoising autoencoder.

    Attributes
    ----------
    width : int
        Hidden units.
    dropout : float
        Share of a history's items that is hidden in training.
    """

    family: Literal["autoencoder"] = "autoencoder"
    width: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)

    def untrained(self, catalogue: Catalogue) -> "Autoencoder":
        """Return a new model."""
        return Autoencoder(len(catalogue), self.width, self.dropout)


class Autoencoder(Recommender):
    """Scores ``tanh(x W / |x| + b) V^T + c`` for a binary history ``x``.

    Parameters
    ----------
    num_items : int
        Size of the catalogue.
    width : int
        Hidden units; about 200 makes a teacher of MovieLens, 32 a student.
    dropout : float
        Share of a history's items that is hidden in training; the rest is scaled up.
    """

    item_tables: ClassVar[dict[str, int]] = {"encoder.weight": 0, "decoder.weight": 0, "decoder.bias": 0}

    def __init__(self, num_items: int, width: int, dropout: float = 0.0) -> None:
        super().__init__(num_items)
        self.encoder = ItemSum(num_items, width, width**-0.5, bias=True)
        self.decoder = item_scores(num_items, width, width**-0.5, bias=True)
        self.dropout = nn.Dropout(dropout)

    def hidden(self, history: Tensor) -> Tensor:
        """Return the tanh layer, shape [batch, width]."""
        items, kind = len(self.encoder.weight), self.encoder.weight.dtype
        count = (history < items).to(kind).sum(-1, keepdim=True).clamp(min=1.0)
        shown = self.dropout(torch.ones_like(history, dtype=kind))
        return torch.tanh(self.encoder(multi_hot(history, items, shown) / count.sqrt()))

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        scores: Tensor = self.decoder(self.hidden(history))
        return scores
