"""Ceilings of this machine, so that timings can be read as shares of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Ceilings:
    """Measured limits, with the number of threads that PyTorch uses now.

    Attributes
    ----------
    gflops : float
        Billions of float32 operations per second in a square matrix multiplication.
    gigabytes : float
        Billions of bytes per second read and written while memory is copied.
    """

    gflops: float
    gigabytes: float


def measure_ceilings(side: int = 2048, megabytes: int = 256) -> Ceilings:
    """Measure the machine, each limit as the best of five runs."""
    left, right = torch.rand(side, side), torch.rand(side, side)
    source = torch.zeros(megabytes * 2**18)
    target = torch.empty_like(source)
    multiply = _best(lambda: torch.mm(left, right))
    copy = _best(lambda: target.copy_(source))
    return Ceilings(2 * side**3 / multiply / 1e9, 2 * source.nbytes / copy / 1e9)


def _best(work: Callable[[], object], runs: int = 5) -> float:
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
