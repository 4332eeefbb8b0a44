"""Sums of clipped gradients as a plain loop over examples makes them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from fedkd.training.examples import Examples

TOO_LONG = 1e19
"""A gradient of this length or more counts as zero: its square overflows in single precision."""


def clipped_sums(
    model: nn.Module, own: dict[str, Tensor], single: Examples, owner: NDArray[np.int64], loss: Any, clip: float
) -> dict[str, Tensor]:
    """Return every student's sum of the clipped gradients of its examples, one example a row of ``single``."""
    total = {name: torch.zeros_like(stacked) for name, stacked in own.items()}
    for row, student in enumerate(owner):
        batch = {name: torch.from_numpy(column.values[row : row + 1]) for name, column in single.columns.items()}
        for name, part in clipped(model, {n: p[student] for n, p in own.items()}, batch, loss, clip).items():
            total[name][student] += part
    return total


def clipped(
    model: nn.Module, own: dict[str, Tensor], batch: dict[str, Tensor], loss: Any, clip: float
) -> dict[str, Tensor]:
    """Return the clipped gradient of one example of one student."""
    leaves = {name: p.clone().requires_grad_() for name, p in own.items()}
    each = loss(lambda *inputs: functional_call(model, leaves, inputs), batch)
    gradients = dict(zip(leaves, torch.autograd.grad(each.sum(), list(leaves.values())), strict=True))
    norm = float(np.sqrt(sum(float(g.double().square().sum()) for g in gradients.values())))
    if not norm < TOO_LONG:
        return {name: torch.zeros_like(g) for name, g in gradients.items()}
    return {name: g * min(1.0, clip / (norm + 1e-6)) for name, g in gradients.items()}
