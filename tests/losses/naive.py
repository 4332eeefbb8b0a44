"""Numbers for the losses' tests, and a softmax as a loop."""

import math

import numpy as np
import torch
from torch import Tensor


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.asarray(np.random.default_rng(seed).normal(size=shape)))


def softmax(row: list[float], temperature: float) -> list[float]:
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]
