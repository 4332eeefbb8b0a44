"""What one release costs, and what many cost together, in pure arithmetic: nothing heavy is imported.

Every cost is a bound ``rho * a`` on the Renyi divergence of all whole orders ``a >= 2`` (concentrated differential
privacy, Bun & Steinke, TCC 2016), so costs add up, and as each order has a filter of its own (Feldman & Zrnic, NeurIPS
2021, theorem 4.3), a bound on their sum holds however they were chosen. Releases that reveal no more
than Gaussian ones with multipliers ``z_i`` reveal together no more than a single Gaussian one with
``(sum of z_i^-2)^(-1/2)`` (Dong, Roth & Su, Gaussian differential privacy, JRSS B 2022, corollary 2), also when each is
chosen after the earlier ones were seen (Smith & Thakurta, Fully adaptive composition for Gaussian differential privacy,
2022). As long as all releases are of that kind the sum becomes epsilon by the exact Gaussian formula (Balle & Wang,
ICML 2018, theorem 8), otherwise by the bound of Canonne, Kamath & Steinke, The discrete Gaussian, NeurIPS 2020,
proposition 12.

Noisy steps on Poisson samples are kept apart, by kind: their epsilon comes from privacy loss distributions
(``fedkd.privacy.accounting``, loaded when it is needed). Where steps of both adjacencies meet, all count as
replace-one: at the same noise and rate that reveals at least as much, as no vector at all is one of the vectors.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

from fedkd.errors import UserError

Adjacency = Literal["add-remove", "replace-one"]

HIGHEST_EPSILON = 1e6
"""Above this a guarantee is none."""

ORDERS: tuple[int, ...] = (*range(2, 128), *(round(128 * 2.0 ** (step / 15)) for step in range(270)))
"""Whole orders of the Renyi divergence; any of them gives a valid bound."""


@dataclass(frozen=True, order=True)
class Steps:
    """Steps that each add Gaussian noise to the sum of a Poisson sample of clipped vectors.

    Attributes
    ----------
    adjacency : str
        Against what a vector is hidden: against none (``add-remove``), or against any other (``replace-one``).
    multiplier : float
        Standard deviation of the noise over the clip.
    rate : float
        Sampling rate; 1 takes everyone.
    count : int
        How many there are.
    """

    adjacency: Adjacency
    multiplier: float
    rate: float
    count: int

    def __post_init__(self) -> None:
        if self.adjacency not in ("add-remove", "replace-one"):
            raise UserError(f"adjacency is {self.adjacency}; it can be add-remove or replace-one")
        if not (self.multiplier > 0 and math.isfinite(self.multiplier) and 0 < self.rate <= 1 and self.count >= 1):
            raise UserError(
                f"{self.count} steps at noise {self.multiplier} and sampling rate {self.rate} cannot be charged; noise "
                "must be positive and finite, the rate above 0 and at most 1, and there is a step at least"
            )


@dataclass(frozen=True)
class Cost:
    """What releases on the same data cost.

    Attributes
    ----------
    rho : float
        The Renyi divergence of whole orders ``a >= 2`` is at most ``rho * a``.
    gaussian : bool
        Whether a Gaussian release with multiplier ``(2 * rho)^(-1/2)`` reveals at least as much.
    sampled : tuple of Steps
        Noisy steps on Poisson samples besides, each kind once.
    """

    rho: float
    gaussian: bool = True
    sampled: tuple[Steps, ...] = ()

    def __post_init__(self) -> None:
        if not (self.rho >= 0 and math.isfinite(self.rho)):
            raise UserError(f"a release costs rho={self.rho}; it must be finite and not negative")

    @classmethod
    def of_gaussian(cls, multiplier: float) -> "Cost":
        """Return the cost of Gaussian noise with ``multiplier`` times the sensitivity as standard deviation."""
        if not multiplier > 0:
            raise UserError(f"the noise multiplier is {multiplier}; it must be positive, or nothing is private")
        return cls(0.5 / multiplier / multiplier)

    @classmethod
    def of_steps(cls, adjacency: Adjacency, multiplier: float, rate: float, count: int) -> "Cost":
        """Return the cost of Gaussian steps, each on its own Poisson sample."""
        return cls(0.0, sampled=(Steps(adjacency, multiplier, rate, count),))

    @classmethod
    def of_pure(cls, epsilon: float) -> "Cost":
        """Return the cost of a release that is (epsilon, 0)-private.

        Its trade-off function lies above that of two unit normals at distance ``2 Phi^-1(e^epsilon / (1 + e^epsilon))``
        (both are convex and symmetric and meet where the two errors are equal), hence above a Gaussian release.
        """
        if not 0 < epsilon < 700:
            raise UserError(f"epsilon of a pure release is {epsilon}; it must be positive and below 700")
        distance = -2 * NormalDist().inv_cdf(math.exp(-epsilon) / (1 + math.exp(-epsilon)))
        return cls(0.5 * distance * distance * (1 + 1e-12))

    def times(self, count: float) -> "Cost":
        """Return the cost of ``count`` such releases, not necessarily a whole number."""
        sampled = tuple(replace(steps, count=round(count * steps.count)) for steps in self.sampled)
        return Cost(count * self.rho, self.gaussian, sampled)

    def epsilon(self, delta: float) -> float:
        """Return epsilon at ``delta``, from above; infinite where nothing is guaranteed."""
        check_delta(delta)
        if self.sampled:
            return _numeric(self, delta)
        if self.rho == 0:
            return 0.0
        return _gaussian(math.sqrt(2 * self.rho), delta) if self.gaussian else _renyi(self.rho, delta)


def check_delta(delta: float) -> None:
    """Refuse a delta that means nothing, with a ``UserError``."""
    if not 0 < delta < 1:
        raise UserError(f"delta is {delta}; it must be above 0 and below 1, and well below 1 / clients, as 1e-5")


def total(costs: Iterable[Cost]) -> Cost:
    """Return the cost of several releases on the same data; the sums are rounded once."""
    parts = list(costs)
    together = all(part.gaussian for part in parts)
    counts = Counter[Steps]()
    for steps in (steps for part in parts for steps in part.sampled):
        counts[replace(steps, count=1)] += steps.count
    sampled = tuple(replace(kind, count=count) for kind, count in sorted(counts.items()))
    return Cost(math.fsum(part.rho for part in parts), together, sampled)


def renyi_multiplier(epsilon: float, delta: float) -> float:
    """Return the smallest noise multiplier whose cost stays within a budget beside costs that are not Gaussian."""
    return boundary(
        lambda value: value > 0 and replace(Cost.of_gaussian(value), gaussian=False).epsilon(delta) <= epsilon, 1e9
    )


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


def gaussian_delta(epsilon: float, distance: float) -> float:
    """Return the smallest delta at which two unit normals at a distance are (epsilon, delta)-indistinguishable."""
    if distance == 0:
        return 0.0
    first = log_ndtr(distance / 2 - epsilon / distance)
    second = epsilon + log_ndtr(-distance / 2 - epsilon / distance)
    return 0.0 if second >= first else math.exp(first) * -math.expm1(second - first)


def boundary(enough: Callable[[float], bool], highest: float) -> float:
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


def _gaussian(distance: float, delta: float) -> float:
    """Return epsilon of two unit normals at a distance."""
    if gaussian_delta(HIGHEST_EPSILON, distance) > delta:
        return math.inf
    return boundary(lambda epsilon: gaussian_delta(epsilon, distance) <= delta, HIGHEST_EPSILON)


def _numeric(cost: Cost, delta: float) -> float:
    """Return epsilon of a cost with sampled steps, all fixed before the first."""
    from fedkd.privacy.accounting import epsilon  # loads much, and few ledgers hold sampled steps
    from fedkd.privacy.schedule import SENSITIVITY, Release, Schedule

    if not cost.gaussian:
        raise UserError("sampled steps cannot be accounted beside discrete or Skellam noise; keep them apart")
    adjacency = max(steps.adjacency for steps in cost.sampled)  # replace-one, if there is any
    plain = (Release((2 * cost.rho) ** -0.5 * SENSITIVITY["vector"][adjacency]),) if cost.rho else ()
    steps = tuple(Release(steps.multiplier, steps.rate, steps.count) for steps in cost.sampled)
    return epsilon(Schedule((*plain, *steps), adjacency, "poisson"), delta)


def _renyi(rho: float, delta: float) -> float:
    best: float = min(rho * a + math.log1p(-1 / a) - (math.log(delta) + math.log(a)) / (a - 1) for a in ORDERS)
    return max(best, 0.0)
