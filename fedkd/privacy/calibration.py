"""Valid budgets, and searches for the smallest noise or epsilon that is enough."""

import math
from collections.abc import Callable

from fedkd.errors import UserError

HIGHEST_EPSILON = 1e6
"""Largest epsilon that still counts as a guarantee."""


def check_delta(delta: float) -> None:
    """Refuse a delta outside (0, 1), with a ``UserError``."""
    if not 0 < delta < 1:
        raise UserError(f"delta is {delta}; it must be above 0 and below 1, and well below 1 / clients, as 1e-5")


def check_budget(epsilon: float, delta: float) -> None:
    """Refuse a budget that no mechanism can have, with a ``UserError``."""
    check_delta(delta)
    if not 0 < epsilon < math.inf:
        raise UserError(f"epsilon is {epsilon}; it must be above 0 and finite, for example 4")


def smallest_enough(enough: Callable[[float], bool], highest: float) -> float:
    """Return the smallest number up to ``highest`` that is enough, from above, by bisection on a growing scale."""
    low, high = 0.0, 1e-12
    if enough(low):
        return low
    while not enough(high) and high < highest:
        low, high = high, min(4 * high, highest)
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def bisect_ratio(enough: Callable[[float], bool], low: float, high: float, ratio: float) -> float:
    """Return a number that is enough, at most ``ratio`` times one that is not; ``low`` is not enough, ``high`` is."""
    while high > ratio * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
