"""The denoising autoencoder over histories: one tanh layer between an item table in and an item table out.

Wu et al., Collaborative denoising auto-encoders, WSDM 2016 (without its user node), and Liang et al., Variational
autoencoders for collaborative filtering, WWW 2018 (Mult-DAE: input of unit length, input dropout).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from fedkd.models.base import Recommender, multi_hot


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

    item_tables: ClassVar[dict[str, int]] = {"encoder": 0, "decoder": 0, "item_bias": 0}

    def __init__(self, num_items: int, width: int, dropout: float = 0.0) -> None:
        super().__init__(num_items)
        self.encoder = nn.Parameter(torch.randn(num_items, width) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        self.decoder = nn.Parameter(torch.randn(num_items, width) * width**-0.5)
        self.item_bias = nn.Parameter(torch.zeros(num_items))
        self.dropout = nn.Dropout(dropout)

    def hidden(self, history: Tensor) -> Tensor:
        """Return the tanh layer, shape [batch, width]."""
        items = len(self.encoder)
        count = (history < items).to(self.encoder.dtype).sum(-1, keepdim=True).clamp(min=1.0)
        shown = self.dropout(torch.ones_like(history, dtype=self.encoder.dtype))
        return torch.tanh(multi_hot(history, items, shown) @ self.encoder / count.sqrt() + self.bias)

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        return self.hidden(history) @ self.decoder.T + self.item_bias
