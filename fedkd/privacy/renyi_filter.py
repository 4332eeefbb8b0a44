"""The Renyi filter: budgets for releases of any kind, each chosen after the earlier ones were seen.

Fixed schedules have a privacy loss to compose, adaptive ones do not. For one order ``a`` fixed beforehand, releases
that stop before the sum of their Renyi divergences exceeds ``B(a)`` are together bounded by ``B(a)``, however they were
chosen (Feldman & Zrnic, Individual privacy accounting via a Renyi filter, NeurIPS 2021, theorem 4.3).
"""

import math
from dataclasses import replace
from functools import lru_cache

from fedkd.privacy.accounting import ORDERS
from fedkd.privacy.calibration import HIGHEST_EPSILON, check_delta, smallest_enough
from fedkd.privacy.events import Cost, Steps

ROUNDED = 1e-12
"""Amount by which the numeric divergence of a step is raised."""

CHEAP_ORDER = 1024
"""Divergences grow with the order, so what is too much at this one needs no integral at millions."""


def allows(cost: Cost, epsilon: float, delta: float) -> bool:
    """Return whether the total cost of releases stays within a budget.

    The order is the one that allows most Gaussian releases; it depends only on the budget.
    """
    order = _best_order(epsilon, delta)
    most = _budget(epsilon, delta, order)
    return divergence(cost, min(order, CHEAP_ORDER)) <= most and divergence(cost, order) <= most


def least_epsilon(cost: Cost, delta: float) -> float:
    """Return the smallest epsilon of a budget that allows a cost, from above; infinite where none does."""
    check_delta(delta)
    if not allows(cost, HIGHEST_EPSILON, delta):
        return math.inf
    return smallest_enough(lambda epsilon: epsilon > 0 and allows(cost, epsilon, delta), HIGHEST_EPSILON)


def divergence(cost: Cost, order: int) -> float:
    """Return a bound on the Renyi divergence of a whole order, at least 2, of all releases of a cost."""
    return cost.rho * order + math.fsum(steps.count * _step(replace(steps, count=1), order) for steps in cost.sampled)


@lru_cache(maxsize=65536)
def _step(step: Steps, order: int) -> float:
    """Return the divergence of one step of Gaussian noise on a Poisson sample."""
    if step.adjacency == "replace-one":
        return _replaced(step.multiplier, step.rate, order)
    if step.rate == 1:
        return order / (2 * step.multiplier**2)
    return _added(step.multiplier, step.rate, order)


def _added(multiplier: float, rate: float, order: int) -> float:
    """Return the divergence where a vector stands against none.

    Mironov, Talwar & Zhang, Renyi differential privacy of the sampled Gaussian mechanism, 2019, section 3.3; by how
    much the binomial mean of ``exp(k (k - 1) / (2 z^2))`` exceeds 1, which keeps every digit of a rare release.
    """
    import numpy as np  # a ledger that holds no sampled steps needs neither
    from scipy.special import gammaln, logsumexp

    k = np.arange(2, order + 1)
    choose = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
    exponent = k * (k - 1) / (2 * multiplier**2)
    excess = choose + k * math.log(rate) + (order - k) * math.log1p(-rate) + exponent + np.log(-np.expm1(-exponent))
    return float(np.logaddexp(0.0, logsumexp(excess))) / (order - 1)


def _replaced(multiplier: float, rate: float, order: int) -> float:
    """Return the divergence where a vector stands against any other.

    The pair ``(1 - q) N(0, z^2) + q N(1, z^2)`` and its mirror image dominates all others (see
    ``fedkd.privacy.accounting``), so it has the largest Renyi divergence too, the same in both directions. The integral
    is a sum over equal steps, whose error vanishes faster than any power of them as the integrand is analytic; it has
    its mass up to twice the order, and its nearest poles as far from the real line as ``pi z^2``.
    """
    import numpy as np
    from scipy.special import logsumexp

    step = min(multiplier / 8, multiplier**2 / 2)
    x = np.arange(-40 * multiplier - 1, 2 * order + 40 * multiplier, step)

    def log_density(shift: float) -> "np.typing.NDArray[np.float64]":
        without, having = (-0.5 * ((x - mean) / multiplier) ** 2 for mean in (0.0, shift))
        return np.logaddexp(without + math.log1p(-rate), having + math.log(rate)) if rate < 1 else having

    scale = math.log(step / multiplier / math.sqrt(2 * math.pi))
    whole = logsumexp(order * log_density(1.0) + (1 - order) * log_density(-1.0)) + scale
    return max(0.0, float(whole)) / (order - 1) + ROUNDED


def _budget(epsilon: float, delta: float, order: int) -> float:
    """Return the divergence that is (epsilon, delta)-private.

    Canonne, Kamath & Steinke, The discrete Gaussian for differential privacy, NeurIPS 2020, proposition 12.
    """
    return epsilon - math.log1p(-1 / order) + (math.log(delta) + math.log(order)) / (order - 1)


@lru_cache(maxsize=1024)
def _best_order(epsilon: float, delta: float) -> int:
    """Return the order at which most Gaussian noise fits: their divergences grow in proportion to the order."""
    return max(ORDERS, key=lambda order: _budget(epsilon, delta, order) / order)
