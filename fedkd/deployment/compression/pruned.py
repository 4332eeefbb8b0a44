"""Pruning: of every large tensor the largest weights alone, with a bit for every place.

Han et al., Learning both weights and connections for efficient neural networks, NeurIPS 2015, without training again.
"""

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from fedkd.deployment.compression.base import Compression
from fedkd.deployment.compression.packed import Packed, Place

BITS = 8


class Pruned(Compression):
    """The largest weights alone.

    Attributes
    ----------
    kept : float
        Share of a tensor's weights that is kept.
    """

    kind: Literal["pruned"] = "pruned"
    kept: float = Field(0.5, gt=0, lt=1)

    def packed(self, place: Place) -> Packed:
        """Return the largest weights and where they stand."""
        return Sparse(place.tensor, max(1, round(self.kept * place.tensor.numel())))


class Sparse(Packed):
    """Some values, and a bit for every place that says whether the next of them stands there.

    Parameters
    ----------
    tensor : Tensor
        What is pruned.
    kept : int
        How many of its values stay.
    """

    further: ClassVar[tuple[str, ...]] = ("values",)
    values: Tensor
    bits: Tensor

    def __init__(self, tensor: Tensor, kept: int) -> None:
        super().__init__()
        flat, self.shape = tensor.flatten(), tuple(tensor.shape)
        places = flat.abs().topk(kept).indices.sort().values
        there = torch.zeros(len(flat)).index_fill(0, places, 1.0)
        whole = functional.pad(there, (0, -len(flat) % BITS)).view(-1, BITS)
        self.register_buffer("values", flat[places].clone())
        self.register_buffer("bits", (whole * 2.0 ** torch.arange(BITS)).sum(1).to(torch.uint8))

    def forward(self) -> Tensor:
        """Return the tensor, zero where nothing was kept."""
        halves = (self.bits.float().unsqueeze(1) / 2.0 ** torch.arange(BITS)).floor()
        there = (halves - 2 * (halves / 2).floor()).flatten()
        behind = (there.cumsum(0, dtype=torch.float64) - 1).clamp(min=0).long()
        return (self.values[behind] * there)[: math.prod(self.shape)].view(self.shape)
