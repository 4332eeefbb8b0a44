"""The clipped gradients of single examples, each from its own copy of the student's parameters."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedkd.training.chunks import Loss, Parameters
from fedkd.training.engine import losses_of
from fedkd.training.examples import Examples, Touched, tensor_of


def clip_factors(norms: Tensor, clip: float) -> Tensor:
    """Return the factors that scale gradients of given norms to the clip, as in Opacus; 0 where one is not finite."""
    return torch.where(norms.isfinite(), (clip / (norms + 1e-6)).clamp(max=1.0), 0.0)


def clipped_each(model: nn.Module, copies: Parameters, local: Examples, loss: Loss, clip: float) -> Parameters:
    """Return every example's clipped gradient, from a copy of its student's parameters each, shape [examples, ...].

    A gradient that is not finite counts as zero, whatever its other entries, before anything is clipped.
    """
    leaves = {name: copy.detach().requires_grad_() for name, copy in copies.items()}
    columns = {name: tensor_of(column.values)[:, None] for name, column in local.columns.items()}
    gradients = torch.autograd.grad(losses_of(model, leaves, columns, loss).sum(), list(leaves.values()))
    norms = [torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in gradients]
    factor = clip_factors(torch.linalg.vector_norm(torch.stack(norms), dim=0), clip)
    broken = torch.nonzero(factor == 0).flatten()
    bounded = {}
    for name, gradient in zip(leaves, gradients, strict=True):
        bounded[name] = gradient.contiguous().mul_(factor.view(-1, *[1] * (gradient.ndim - 1)))
        bounded[name][broken] = 0.0  # what is not finite times zero is not zero
    return bounded


def add_to(total: Tensor, parts: Tensor, owner: NDArray[np.int64], axis: int | None, touched: Touched | None) -> None:
    """Add every example's part to its student's total, item slices to where they belong."""
    if axis is None or touched is None:
        total.index_add_(0, torch.from_numpy(owner), parts)
        return
    slices = parts.movedim(axis + 1, 1)[torch.from_numpy(touched.client), torch.from_numpy(touched.slot)]
    place, item = torch.from_numpy(owner[touched.client]), torch.from_numpy(touched.item)
    total.movedim(axis + 1, 1).index_put_((place, item), slices, accumulate=True)
