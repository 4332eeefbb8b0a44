"""The Gaussian mechanism in closed form.

Noise of standard deviation ``z`` times the sensitivity makes two unit normals at the distance ``mu = 1 / z`` of any two
neighbouring data sets (Dong, Roth & Su, Gaussian differential privacy, JRSS B 2022). Balle & Wang, Improving the
Gaussian mechanism for differential privacy, ICML 2018, theorem 8: that is exactly (epsilon, delta)-private for

``delta(epsilon) = Phi(mu / 2 - epsilon / mu) - exp(epsilon) Phi(-mu / 2 - epsilon / mu)``.
"""

import math

from fedkd.errors import UserError
from fedkd.privacy.calibration import HIGHEST_EPSILON, check_budget, smallest_enough


def delta(epsilon: float, mu: float) -> float:
    """Return the smallest delta at which two unit normals at a distance are (epsilon, delta)-indistinguishable.

    Parameters
    ----------
    epsilon : float
        Not negative.
    mu : float
        The distance: the sensitivity over the standard deviation of the noise; not negative.
    """
    if mu == 0:
        return 0.0
    first = log_ndtr(mu / 2 - epsilon / mu)
    second = epsilon + log_ndtr(-mu / 2 - epsilon / mu)
    return 0.0 if second >= first else math.exp(first) * -math.expm1(second - first)


def epsilon(mu: float, at_delta: float) -> float:
    """Return the smallest epsilon of two unit normals at a distance, rounded up by at most 1e-12 of itself."""
    if delta(HIGHEST_EPSILON, mu) > at_delta:
        return math.inf
    return smallest_enough(lambda value: delta(value, mu) <= at_delta, HIGHEST_EPSILON)


def noise_multiplier(at_epsilon: float, at_delta: float, releases: float = 1) -> float:
    """Return the smallest noise multiplier, of each of some releases, that stays within a budget.

    The number need not be whole: each of two releases that leave half of the budget has that of four.

    Raises
    ------
    UserError
        A budget that no noise, or no mechanism at all, can have.
    """
    check_budget(at_epsilon, at_delta)
    if releases < 1:
        raise UserError(f"a budget is planned for {releases} releases; there must be at least 1")
    one = smallest_enough(lambda value: value > 0 and delta(at_epsilon, 1 / value) <= at_delta, 1e9)
    return one * math.sqrt(releases)


def log_ndtr(x: float) -> float:
    """Return the logarithm of the standard normal distribution function, also where that underflows."""
    if x > 0:
        return math.log1p(-0.5 * math.erfc(x / math.sqrt(2)))
    if x > -35:
        return math.log(0.5 * math.erfc(-x / math.sqrt(2)))
    inverse = 1 / (x * x)
    series = 1.0
    for odd in (11, 9, 7, 5, 3, 1):
        series = 1 - odd * inverse * series
    return -0.5 * x * x - math.log(-x) - 0.5 * math.log(2 * math.pi) + math.log(series)
