"""Models as named arrays, in which form they travel and are stored."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedkd.errors import DivergedError
from fedkd.models.eight_bits import codes, scales
from fedkd.models.item_rows import EightBitRows

Arrays = dict[str, NDArray[Any]]

M = TypeVar("M", bound=nn.Module)

CODES, SCALES = ".codes", ".scales"
"""Behind the name of a parameter of 8 bits."""


def model_arrays(model: nn.Module) -> Arrays:
    """Return copies of a model's parameters and buffers, in full precision."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in model.state_dict().items()}


def stored_arrays(model: nn.Module) -> Arrays:
    """Return a model's parameters and buffers as they are stored: tables of 8 bits as whole numbers and scales.

    Its scores are the same when it is loaded; what training has not yet made of small steps in such tables is left out.
    """
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in stored_tensors(model).items()}


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return what a model stores, not copied but where it is rounded to 8 bits."""
    tensors = dict(model.state_dict())
    for name in eight_bit_weights(model):
        weight = tensors.pop(name)
        tensors |= {name + CODES: codes(weight), name + SCALES: scales(weight)}
    return tensors


def export_arrays(model: nn.Module) -> Arrays:
    """Return a model's parameters and buffers as they travel: as they are stored, floats as float16.

    Raises
    ------
    DivergedError
        A number is not finite, or has no place in float16.
    """
    with np.errstate(over="ignore"):
        out = {name: a.astype(np.float16) if a.dtype.kind == "f" else a for name, a in stored_arrays(model).items()}
    if not all(np.isfinite(a).all() for a in out.values()):
        raise DivergedError("its numbers are not finite, or too large for float16")
    return out


def load_arrays(model: M, arrays: Mapping[str, NDArray[Any]]) -> M:
    """Put arrays of any float type, or of 8 bits, into a model of the same shape, and return it."""
    own = model.state_dict()
    model.load_state_dict({name: torch.from_numpy(_whole(arrays, name)).to(own[name].dtype) for name in own})
    return model


def count_parameters(arrays: Mapping[str, NDArray[Any]]) -> int:
    """Return the number of parameters and buffers of the model that some arrays are; scales are none."""
    return sum(array.size for name, array in arrays.items() if not name.endswith(SCALES))


def working_bytes(model: nn.Module) -> int:
    """Return the bytes of parameters and buffers in training, where all of them have full precision."""
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def eight_bit_weights(model: nn.Module) -> list[str]:
    """Return the names of a model's parameters of 8 bits."""
    tables = [f"{name}.weight" for name, layer in model.named_modules() if isinstance(layer, EightBitRows)]
    known = model.state_dict().keys()
    return [name for name in tables if name in known]


def _whole(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name + CODES in arrays:
        return np.asarray(arrays[name + CODES] * arrays[name + SCALES].astype(np.float32), np.float32)
    return np.array(arrays[name])
