"""Models as named arrays, in which form they travel and are stored."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedkd.errors import DivergedError

Arrays = dict[str, NDArray[Any]]

M = TypeVar("M", bound=nn.Module)


def model_arrays(model: nn.Module) -> Arrays:
    """Return copies of a model's parameters and buffers, in full precision."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in model.state_dict().items()}


def export_arrays(model: nn.Module) -> Arrays:
    """Return a model's parameters and buffers as they travel, floats as float16.

    Raises
    ------
    DivergedError
        A number is not finite, or has no place in float16.
    """
    with np.errstate(over="ignore"):
        out = {name: a.astype(np.float16) if a.dtype.kind == "f" else a for name, a in model_arrays(model).items()}
    if not all(np.isfinite(a).all() for a in out.values()):
        raise DivergedError("its numbers are not finite, or too large for float16")
    return out


def load_arrays(model: M, arrays: Mapping[str, NDArray[Any]]) -> M:
    """Put arrays of any float type into a model of the same shape, and return it."""
    own = model.state_dict()
    model.load_state_dict({name: torch.from_numpy(np.array(arrays[name])).to(own[name].dtype) for name in own})
    return model
