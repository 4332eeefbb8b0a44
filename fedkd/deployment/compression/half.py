"""Weights of 16 bits, in which devices are sent their students: hardly a difference, and half of the bytes."""

from typing import Literal

import torch
from torch import Tensor

from fedkd.deployment.compression.base import Compression
from fedkd.deployment.compression.packed import Packed, Place


class Half(Compression):
    """Weights as floating-point numbers of 16 bits; what is larger than they can be becomes their largest."""

    kind: Literal["half"] = "half"

    def packed(self, place: Place) -> Packed:
        """Return the tensor in half of its bytes."""
        return HalfTensor(place.tensor)


class HalfTensor(Packed):
    """A tensor of 16-bit numbers.

    Parameters
    ----------
    tensor : Tensor
        What is kept.
    """

    numbers: Tensor

    def __init__(self, tensor: Tensor) -> None:
        super().__init__()
        largest = torch.finfo(torch.float16).max
        self.register_buffer("numbers", tensor.clamp(-largest, largest).half())

    def forward(self) -> Tensor:
        """Return the tensor."""
        return self.numbers.float()
