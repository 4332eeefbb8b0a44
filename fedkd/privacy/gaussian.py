"""The Gaussian mechanism in closed form: what a noise multiplier costs, and which one a budget allows.

Balle & Wang, Improving the Gaussian mechanism for differential privacy, ICML 2018, theorem 8: noise of standard
deviation ``z`` times the sensitivity is exactly (epsilon, delta)-private for

``delta(epsilon) = Phi(1/(2z) - epsilon z) - exp(epsilon) Phi(-1/(2z) - epsilon z)``.

Releases on the same data, each with its own multiplier, are together as private as a single one with
``(sum of z_i^-2)^(-1/2)`` (Dong, Roth & Su, Gaussian differential privacy, JRSS B 2022, corollary 2): composition costs
nothing but this sum.
"""

import math
from collections.abc import Iterable

from fedkd.errors import UserError
from fedkd.privacy.cost import Cost, boundary, gaussian_delta


def delta(epsilon: float, multiplier: float) -> float:
    """Return the smallest delta at which a Gaussian release is (epsilon, delta)-private.

    Parameters
    ----------
    epsilon : float
        Not negative.
    multiplier : float
        Standard deviation of the noise over the sensitivity; positive, possibly infinite.
    """
    return gaussian_delta(epsilon, 1 / multiplier)


def epsilon(multiplier: float, at_delta: float) -> float:
    """Return the smallest epsilon, rounded up by at most 1e-12 of itself, for a noise multiplier and a delta."""
    return Cost.of_gaussian(multiplier).epsilon(at_delta)


def noise_multiplier(at_epsilon: float, at_delta: float, releases: float = 1) -> float:
    """Return the smallest noise multiplier, of each of some releases, that stays within a budget.

    The number need not be whole: each of two releases that leave half of the budget has that of four.

    Raises
    ------
    UserError
        A budget that no noise, or no mechanism at all, can have.
    """
    if not 0 < at_delta < 1:
        raise UserError(
            f"delta is {at_delta}; it must be between 0 and 1, and well below 1 / clients, for example 1e-5"
        )
    if not (at_epsilon > 0 and math.isfinite(at_epsilon)):
        raise UserError(f"epsilon is {at_epsilon}; it must be positive and finite, for example 4")
    if releases < 1:
        raise UserError(f"a budget is planned for {releases} releases; there must be at least 1")
    one = boundary(lambda value: value > 0 and delta(at_epsilon, value) <= at_delta, 1e9)
    return one * math.sqrt(releases)


def composed(multipliers: Iterable[float]) -> float:
    """Return the noise multiplier of the single release that is as private as all of these together."""
    total = math.fsum(value**-2 for value in multipliers)
    return math.inf if total == 0 else total**-0.5
