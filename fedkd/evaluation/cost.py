"""The cost of a model where it serves: arithmetic and time for the list of one user."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fedkd.evaluation.metrics import DEPTH, top_items
from fedkd.models.base import Recommender, padded_histories
from fedkd.models.flops import flops
from fedkd.models.threads import limited_threads
from fedkd.ragged import Ragged

Scores = NDArray[np.float32]

REPETITIONS, WARM = 200, 5
"""Lists that are timed at most, and those made before."""

SECONDS = 0.5
"""Time after which no further list is made."""


@dataclass(frozen=True)
class ListCost:
    """The cost of one user's list.

    Attributes
    ----------
    flops : int
        Floating-point operations of the scores; see `fedkd.models.flops`.
    p50, p95 : float
        Median and 95th percentile of the milliseconds from a history to its list, warm, of one core's time: what else
        the machine does meanwhile does not count.
    """

    flops: int
    p50: float
    p95: float

    def summary(self) -> dict[str, Any]:
        """Return the numbers as a row of a summary holds them."""
        return {"flops": self.flops, "latency-ms": {"p50": self.p50, "p95": self.p95}}


def list_cost(
    model: Recommender, history: Ragged, adjusted: Callable[[Scores], Scores] = lambda scores: scores
) -> ListCost:
    """Count and time the making of a list.

    Parameters
    ----------
    model : Recommender
        In main memory.
    history : Ragged of int32
        One row: the user's items.
    adjusted : callable
        Returns the scores that make the list, from the model's; its time counts, its arithmetic does not.
    """
    model.eval()
    p50, p95 = latency(lambda: _list(model, history, adjusted))
    return ListCost(flops(model, padded_histories(history, model.num_items)), p50, p95)


def typical(histories: Ragged) -> Ragged:
    """Return the history of median length, the first of several, as one row."""
    middle = np.sort(histories.lengths)[len(histories) // 2]
    return histories.take(np.flatnonzero(histories.lengths == middle)[:1])


def latency(make: Callable[[], object]) -> tuple[float, float]:
    """Return median and 95th percentile of the milliseconds in which something is made again and again.

    Parameters
    ----------
    make : callable
        Makes it, in this thread alone.
    """
    p50, p95 = np.quantile(_timed(make), [0.5, 0.95])
    return float(p50), float(p95)


def _timed(make: Callable[[], object]) -> list[float]:
    threads, found = torch.get_num_threads(), list[float]()
    torch.set_num_threads(1)
    try:
        with limited_threads(1), torch.no_grad():
            end = time.perf_counter() + SECONDS
            while len(found) < WARM + 1 or (len(found) < WARM + REPETITIONS and time.perf_counter() < end):
                begun = time.thread_time_ns()
                make()
                found.append((time.thread_time_ns() - begun) / 1e6)
    finally:
        torch.set_num_threads(threads)
    return found[WARM:]


def _list(model: Recommender, history: Ragged, adjusted: Callable[[Scores], Scores]) -> None:
    scores = model(padded_histories(history, model.num_items)).numpy()
    top_items(adjusted(scores), history, min(DEPTH, model.num_items))
