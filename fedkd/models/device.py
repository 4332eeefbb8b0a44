"""The processor that trains and scores models, chosen once in a process like the number of torch's threads.

Models live in main memory, where protocols and messages use them. `computing` holds them on the chosen processor while
they are trained or scored, and data goes to where its model is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fedkd.errors import UserError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
"""``auto`` is ``cuda`` or ``mps`` where torch has one, otherwise ``cpu``."""


class Processor:
    """The processor of this process."""

    device: ClassVar[torch.device] = torch.device("cpu")


def available() -> tuple[DeviceName, ...]:
    """Return the processors that torch can use here, the fastest first."""
    names: list[DeviceName] = ["cuda"] if torch.cuda.is_available() else []
    return (*names, *(("mps",) if torch.backends.mps.is_available() else ()), "cpu")


def use_device(name: DeviceName) -> torch.device:
    """Choose the processor of this process, and return it.

    Raises
    ------
    UserError
        Torch has no such processor here.
    """
    there = available()
    if name not in ("auto", *there):
        raise UserError(f"runtime.device is {name}, and torch has {', '.join(there)} here; set one of these, or auto")
    Processor.device = torch.device(there[0] if name == "auto" else name)
    return Processor.device


def place_of(model: nn.Module) -> torch.device:
    """Return where a model's numbers are; main memory if it has none."""
    first = next(chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def beside(model: nn.Module, tensor: Tensor) -> Tensor:
    """Return a tensor where a model's numbers are."""
    return tensor.to(place_of(model))


@contextmanager
def computing(*modules: nn.Module | None) -> Iterator[torch.device]:
    """Hold modules on the chosen processor, and bring them back to where they were."""
    held = [(module, place_of(module)) for module in modules if module is not None]
    for module, _ in held:
        module.to(Processor.device)
    try:
        yield Processor.device
    finally:
        for module, place in held:
            module.to(place)
