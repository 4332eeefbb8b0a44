"""Causal one-dimensional convolutions over the history, and a dense layer to the catalogue.

In the line of Caser (Tang & Wang, WSDM 2018, without its user embedding) and NextItNet (Yuan et al., WSDM 2019): two
convolutional layers with rectifiers, 32 and 64 channels in a teacher, 16 and 32 in a student.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.models.base import ModelConfig, Recommender, at_places, lookup
from fedkd.models.item_table import FULL, ItemTableOptions, item_scores, item_tables
from fedkd.options import Searched

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
    skip : bool
        Whether an item's embedding is added to what the second convolution says there; this needs a width that equals
        its channels, and adds no parameters.
    items : ItemTableOptions
        The item tables; tied ones need such a width, too.
    """

    family: Literal["cnn"] = "cnn"
    width: Annotated[int, Searched(needs="any_width")] = Field(32, ge=1)
    channels: tuple[PositiveInt, PositiveInt] = (16, 32)
    length: int = Field(100, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    skip: Annotated[bool, Searched(())] = False
    items: ItemTableOptions = ItemTableOptions()

    @property
    def any_width(self) -> bool:
        """Whether items may be of any width at the input."""
        return not (self.items.tied or self.skip)

    def untrained(self, catalogue: Catalogue) -> "CausalCNN":
        """Return a new model."""
        return CausalCNN(catalogue, self.width, self.channels, self.length, self.dropout, self.items, self.skip)


class CausalCNN(Recommender):
    """Two causal convolutions over item embeddings; the last position and the mean over positions make the features.

    Position ``p`` of a feature map sees positions up to ``p`` alone. Padding is zero at the input of every layer, so
    more of it on the left changes nothing.

    Parameters
    ----------
    catalogue : Catalogue
        The items.
    width : int
        Width of an item's embedding.
    channels : tuple of int
        Channels of the first and the second convolution.
    length : int
        The most recent items that are looked at; older ones are forgotten.
    dropout : float
        Dropout on the embedded items and on the features in training.
    items : ItemTableOptions
        The item tables.
    skip : bool
        Whether an item's embedding is added to what the second convolution says there (He et al., Deep residual
        learning for image recognition, CVPR 2016): 16 channels are few for all that an item tells.
    """

    layers: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def __init__(
        self,
        catalogue: Catalogue,
        width: int,
        channels: tuple[int, int],
        length: int = 100,
        dropout: float = 0.0,
        items: ItemTableOptions = FULL,
        skip: bool = False,
    ) -> None:
        super().__init__(len(catalogue))
        first, second = channels
        if (items.tied or skip) and width != second:
            what, key = ("a tied item table", "items.tied") if items.tied else ("an item with skip", "skip")
            raise UserError(
                f"{what} is {width} wide at the input and {second} at the output; set width to {second}, or "
                f"{key} = false"
            )
        self.length, self.skip = length, skip
        self.embedding = items.rows(catalogue, width, width**-0.5)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, KERNEL, dilation=dilation)
            for before, after, dilation in zip((width, first), (first, second), DILATIONS, strict=True)
        )
        self.head = item_scores(catalogue, second, second**-0.5, True, items, self.embedding)
        self.dropout = nn.Dropout(dropout)
        vars(self)["item_tables"] = item_tables(self)

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
        rows, mask = lookup(self.embedding(), history[:, -self.length :])
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
        maps, real = self._last_maps(history)
        return maps[..., -1] + maps.sum(-1) / real.sum(-1).clamp(min=1.0)

    def _last_maps(self, history: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps from which the features are made, and which positions are real."""
        maps, real = self.feature_maps(history, len(self.convolutions))
        return maps + self.feature_maps(history, 0)[0] if self.skip else maps, real

    @property
    def reach(self) -> int:
        """The most recent items that are looked at."""
        return self.length

    def scores_after(self, history: Tensor, places: Tensor) -> Tensor:
        """Return the scores after parts of every history: the convolutions see no later item, and the mean need not."""
        maps, real = self._last_maps(history)
        hidden = maps + maps.cumsum(-1) / real.cumsum(-1).clamp(min=1.0)
        chosen = at_places(hidden.transpose(-1, -2), places, history.shape[1])
        scores: Tensor = self.head(self.dropout(chosen))
        return scores

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        scores: Tensor = self.head(self.dropout(self.hidden(history)))
        return scores
