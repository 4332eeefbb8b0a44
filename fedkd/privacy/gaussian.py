"""The Gaussian mechanism in closed form: what a noise multiplier costs, and which one a budget allows.

Balle & Wang, Improving the Gaussian mechanism for differential privacy, ICML 2018, theorem 8: noise of standard
deviation ``z`` times the sensitivity is exactly (epsilon, delta)-private for

``delta(epsilon) = Phi(1/(2z) - epsilon z) - exp(epsilon) Phi(-1/(2z) - epsilon z)``.

Releases on the same data, each with its own multiplier, are together as private as a single one with
``(sum of z_i^-2)^(-1/2)`` (Dong, Roth & Su, Gaussian differential privacy, JRSS B 2022, corollary 2): composition costs
nothing but this sum.
"""

import math
from collections.abc import Callable, Iterable

from scipy.special import log_ndtr

from fedkd.errors import UserError

HIGHEST_EPSILON = 1e6
"""Above this a guarantee is none."""


def delta(epsilon: float, multiplier: float) -> float:
    """Return the smallest delta at which a Gaussian release is (epsilon, delta)-private.

    Parameters
    ----------
    epsilon : float
        Not negative.
    multiplier : float
        Standard deviation of the noise over the sensitivity; positive, possibly infinite.
    """
    if math.isinf(multiplier):
        return 0.0
    near, far = 0.5 / multiplier - epsilon * multiplier, -0.5 / multiplier - epsilon * multiplier
    first, second = float(log_ndtr(near)), epsilon + float(log_ndtr(far))
    return 0.0 if second >= first else math.exp(first) * -math.expm1(second - first)


def epsilon(multiplier: float, at_delta: float) -> float:
    """Return the smallest epsilon, rounded up by at most 1e-12 of itself, for a noise multiplier and a delta."""
    _check_delta(at_delta)
    if not multiplier > 0:
        raise UserError(f"the noise multiplier is {multiplier}; it must be positive, or nothing is private")
    if delta(0.0, multiplier) <= at_delta:
        return 0.0
    if delta(HIGHEST_EPSILON, multiplier) > at_delta:
        return math.inf
    return _boundary(lambda value: delta(value, multiplier) <= at_delta, 0.0, HIGHEST_EPSILON)


def noise_multiplier(at_epsilon: float, at_delta: float, releases: int = 1) -> float:
    """Return the smallest noise multiplier, of each of some releases, that stays within a budget.

    Raises
    ------
    UserError
        A budget that no noise, or no mechanism at all, can have.
    """
    _check_delta(at_delta)
    if not (at_epsilon > 0 and math.isfinite(at_epsilon)):
        raise UserError(f"epsilon is {at_epsilon}; it must be positive and finite, for example 4")
    if releases < 1:
        raise UserError(f"a budget is planned for {releases} releases; there must be at least 1")
    one = _boundary(lambda value: delta(at_epsilon, value) <= at_delta, 0.0, 1e9)
    return one * math.sqrt(releases)


def composed(multipliers: Iterable[float]) -> float:
    """Return the noise multiplier of the single release that is as private as all of these together."""
    total = math.fsum(value**-2 for value in multipliers)
    return math.inf if total == 0 else total**-0.5


def _boundary(enough: Callable[[float], bool], low: float, high: float) -> float:
    """Return the smallest value that is enough, from above, by bisection on a growing scale."""
    top = min(1.0, high)
    while not enough(top) and top < high:
        low, top = top, min(high, 2 * top)
    while top - low > 1e-12 * top:
        middle = (low + top) / 2
        if not low < middle < top:
            break
        low, top = (low, middle) if enough(middle) else (middle, top)
    return top


def _check_delta(value: float) -> None:
    if not 0 < value < 1:
        raise UserError(f"delta is {value}; it must be between 0 and 1, and well below 1 / clients, for example 1e-5")
