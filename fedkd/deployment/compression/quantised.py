"""Weights of 8 or 4 bits: a whole number for each, and a scale for every row or group of them.

Symmetric rounding to nearest, with the largest absolute value at the end of the range (Jacob et al., Quantization and
training of neural networks for efficient integer-arithmetic-only inference, CVPR 2018, without zero points). Histories
and everything between layers stay float32, so nothing has to be calibrated on data.
"""

import copy
from abc import abstractmethod
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from fedkd.deployment.compression.base import Compression
from fedkd.deployment.compression.packed import Packed, Place, large_tensors, pack
from fedkd.models.arrays import eight_bit_weights
from fedkd.models.base import Recommender
from fedkd.models.eight_bits import LARGEST, scales
from fedkd.models.item_rows import EightBitRows


class Int8(Compression):
    """Weights of 8 bits.

    Attributes
    ----------
    group : int
        Weights that share a scale; a row that is shorter has one of its own.
    """

    kind: Literal["int8"] = "int8"
    group: int = Field(64, ge=1)

    def packed(self, place: Place) -> Packed:
        """Return the tensor's whole numbers and scales."""
        return Bytes(place.tensor, self.group)


class Int4(Compression):
    """Weights of 4 bits, two in a byte.

    Attributes
    ----------
    group : int
        Weights that share a scale; a row that is shorter has one of its own.
    """

    kind: Literal["int4"] = "int4"
    group: int = Field(32, ge=1)

    def packed(self, place: Place) -> Packed:
        """Return the tensor's whole numbers and scales."""
        return Nibbles(place.tensor, self.group)


class Groups(Packed):
    """Weights of 8 or 4 bits: their scales, and the shape of the whole.

    Parameters
    ----------
    tensor : Tensor
        What is kept.
    group : int
        Weights that share a scale.
    largest : int
        The largest whole number.
    """

    codes: Tensor
    scales: Tensor

    def __init__(self, tensor: Tensor, group: int, largest: int) -> None:
        super().__init__()
        self.shape, self.numbers = tuple(tensor.shape), tensor.numel()
        row = self.numbers // self.shape[0] if tensor.ndim > 1 else self.numbers
        self.group = min(group, row)
        rest = -self.numbers % self.group
        groups = functional.pad(tensor.flatten(), (0, rest)).view(-1, self.group)
        self.register_buffer("scales", scales(groups, largest))
        self.register_buffer("codes", self.coded((groups / self.scales).round()))

    @abstractmethod
    def coded(self, whole: Tensor) -> Tensor:
        """Return whole numbers, shape [groups, group], as they are kept."""

    def joined(self, whole: Tensor) -> Tensor:
        """Return whole numbers, shape [groups, group], as the tensor that they stand for."""
        return (whole * self.scales).flatten()[: self.numbers].view(self.shape)


class Bytes(Groups):
    """A whole number from -127 to 127 for every weight."""

    def __init__(self, tensor: Tensor, group: int) -> None:
        super().__init__(tensor, group, LARGEST)

    def coded(self, whole: Tensor) -> Tensor:
        """Return the numbers as bytes."""
        return whole.to(torch.int8)

    def forward(self) -> Tensor:
        """Return the tensor."""
        return self.joined(self.codes.float())


def with_bytes(model: Recommender) -> Recommender:
    """Return a model whose tables of 8 bits hold nothing else: a copy where it has such tables."""
    if not eight_bit_weights(model):
        return model
    small = copy.deepcopy(model)
    for place in list(large_tensors(small)):
        if isinstance(place.owner, EightBitRows):
            pack(place, Bytes(place.tensor, place.tensor.shape[1]))
    return small.eval()


class Nibbles(Groups):
    """A whole number from -7 to 7 for every weight, two in a byte."""

    def __init__(self, tensor: Tensor, group: int) -> None:
        super().__init__(tensor, group, 7)

    def coded(self, whole: Tensor) -> Tensor:
        """Return two numbers a byte, raised by 8: the first half of all of them in the lower four bits."""
        low, high = functional.pad((whole + 8).flatten(), (0, whole.numel() % 2)).to(torch.uint8).view(2, -1)
        codes: Tensor = low + 16 * high
        return codes

    def forward(self) -> Tensor:
        """Return the tensor."""
        codes = self.codes.float()
        high = (codes / 16).floor()
        whole = torch.cat([codes - 16 * high, high])[: len(self.scales) * self.group] - 8
        return self.joined(whole.view(-1, self.group))
