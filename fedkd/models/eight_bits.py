"""Weights of 8 bits: a whole number from -127 to 127 for each, and a scale for every row.

Symmetric rounding to nearest, with a row's largest absolute value at the end of the range; in training the gradient
passes the rounding as if it were not there (Bengio, Leonard & Courville, Estimating or propagating gradients through
stochastic neurons, 2013).
"""

import torch
from torch import Tensor

LARGEST = 127

TINY = 1e-30
"""Stands for the largest value of a row of zeros."""


def scales(weight: Tensor, largest: int = LARGEST) -> Tensor:
    """Return the scale of every row, shape [..., 1], under which its largest value becomes ``largest``."""
    return weight.detach().abs().amax(-1, keepdim=True).clamp(min=TINY) / largest


def codes(weight: Tensor) -> Tensor:
    """Return the whole numbers of every row, int8 of the weight's shape."""
    return (weight.detach() / scales(weight)).round().to(torch.int8)


def rounded(weight: Tensor) -> Tensor:
    """Return what codes and scales stand for; its gradient is that of the weight."""
    scale = scales(weight)
    return weight + ((weight.detach() / scale).round() * scale - weight.detach())
