"""Causal one-dimensional convolutions over the history, and a dense layer to the catalogue.

In the line of Caser (Tang & Wang, WSDM 2018, without its user embedding) and NextItNet (Yuan et al., WSDM 2019): two
convolutional layers with rectifiers, 32 and 64 channels in a teacher, 16 and 32 in a student.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from fedkd.data.catalogue import Catalogue
from fedkd.models.base import ModelConfig, Recommender, lookup

KERNEL = 3
DILATIONS = (1, 2)


class CNNConfig(ModelConfig):
    """Settings of the causal convolutional network.

    Attributes
    ----------
    width : int
        Width of an item's embedding.
    channels : tuple of int
        Channels of the two convolutions: 32 and 64 in the usual teacher, 16 and 32 in the usual student.
    length : int
        The most recent items of a history that are looked at.
    dropout : float
        Dropout on the embedded items and on the features in training.
    """

    family: Literal["cnn"] = "cnn"
    width: int = Field(32, ge=1)
    channels: tuple[PositiveInt, PositiveInt] = (16, 32)
    length: int = Field(100, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)

    def untrained(self, catalogue: Catalogue) -> "CausalCNN":
        """Return a new model."""
        return CausalCNN(len(catalogue), self.width, self.channels, self.length, self.dropout)


class CausalCNN(Recommender):
    """Two causal convolutions over item embeddings; the last position and the mean over positions make the features.

    Position ``p`` of a feature map sees positions up to ``p`` alone. Padding is zero at the input of every layer, so
    more of it on the left changes nothing.

    Parameters
    ----------
    num_items : int
        Size of the catalogue.
    width : int
        Width of an item's embedding.
    channels : tuple of int
        Channels of the first and the second convolution.
    length : int
        The most recent items that are looked at; older ones are forgotten.
    dropout : float
        Dropout on the embedded items and on the features in training.
    """

    item_tables: ClassVar[dict[str, int]] = {"embedding": 0, "head": 0, "item_bias": 0}
    layers: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def __init__(
        self, num_items: int, width: int, channels: tuple[int, int], length: int = 100, dropout: float = 0.0
    ) -> None:
        super().__init__(num_items)
        self.length = length
        self.embedding = nn.Parameter(torch.randn(num_items, width) * width**-0.5)
        first, second = channels
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, KERNEL, dilation=dilation)
            for before, after, dilation in zip((width, first), (first, second), DILATIONS, strict=True)
        )
        self.head = nn.Parameter(torch.randn(num_items, second) * second**-0.5)
        self.item_bias = nn.Parameter(torch.zeros(num_items))
        self.dropout = nn.Dropout(dropout)

    def feature_maps(self, history: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Return ``f(x)_l = ReLU(Conv_l(...))`` of a chosen layer.

        Parameters
        ----------
        history : Tensor of int64, shape [batch, length]
        layer : int
            0 is the embedding, 1 the first convolution, 2 the second.

        Returns
        -------
        maps : Tensor, shape [batch, channels, positions]
            Zero at padding.
        real : Tensor, shape [batch, 1, positions]
            1 at items, 0 at padding.
        """
        rows, mask = lookup(self.embedding, history[:, -self.length :])
        real = mask.transpose(-1, -2)
        maps = self.dropout(rows * mask).transpose(-1, -2)
        for convolution, dilation in zip(list(self.convolutions)[:layer], DILATIONS, strict=False):
            causal = functional.pad(maps, ((KERNEL - 1) * dilation, 0))
            maps = torch.relu(convolution(causal)) * real
        return maps, real

    def positions(self, history: Tensor, layer: int | None = None) -> Tensor:
        """Return a layer's maps: layer 0 is the embedding, 1 and 2 are the convolutions."""
        if layer not in self.layers:
            return super().positions(history, layer)
        return self.feature_maps(history, layer)[0].transpose(-1, -2)

    def hidden(self, history: Tensor) -> Tensor:
        """Return the second layer at the most recent item plus its mean over the history, shape [batch, channels]."""
        maps, real = self.feature_maps(history, len(self.convolutions))
        return maps[..., -1] + maps.sum(-1) / real.sum(-1).clamp(min=1.0)

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        features: Tensor = self.dropout(self.hidden(history))
        return features @ self.head.T + self.item_bias
