"""Tensors of a model that are kept as smaller ones and put together when the model computes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

SMALLEST = 512
"""Numbers of the smallest tensor that is worth packing; biases and norms stay as they are."""


class Packed(nn.Module, ABC):
    """A tensor that is computed from what this module holds.

    Attributes
    ----------
    further : tuple of str
        What it holds that a later step may pack again: a pruned table has values, and these may be of 8 bits.
    """

    further: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def forward(self) -> Tensor:
        """Return the tensor, float32."""


class Place(NamedTuple):
    """A tensor of a model: the module that holds it, its name there, and its numbers."""

    owner: nn.Module
    name: str
    tensor: Tensor


def large_tensors(model: nn.Module) -> Iterator[Place]:
    """Return the stored floating-point tensors of a model that are worth packing; content that is not stored is not."""
    stored = {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
    for owner in list(model.modules()):
        own = [*owner.named_parameters(recurse=False), *owner.named_buffers(recurse=False)]
        for name, tensor in own:
            large = id(tensor) in stored and tensor.is_floating_point() and tensor.numel() >= SMALLEST
            if large and (not isinstance(owner, Packed) or name in owner.further):
                yield Place(owner, name, tensor.detach())


@torch.no_grad()
def pack(place: Place, packed: Packed) -> None:
    """Put a packed tensor in the place of a plain one; whoever reads the name gets what it computes."""
    owner, name = place.owner, place.name
    delattr(owner, name)
    inside = f"packed_{name}"
    owner.add_module(inside, packed)
    kind = type(owner)
    # A property of a class of its own, as torch's parametrisations have it; those cannot hold one another.
    owner.__class__ = type(kind.__name__, (kind,), {name: property(_reader(inside)), "__module__": kind.__module__})


def _reader(inside: str) -> Callable[[nn.Module], Tensor]:
    return lambda owner: owner.get_submodule(inside)()
