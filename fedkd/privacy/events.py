"""Accounting events, which describe releases as plain data with bounds that add up.

Every cost is a bound ``rho * a`` on the Renyi divergence of all whole orders ``a >= 2`` (concentrated differential
privacy, Bun & Steinke, TCC 2016), so costs add up, and as each order has a filter of its own (Feldman & Zrnic, NeurIPS
2021, theorem 4.3), a bound on their sum holds however they were chosen. Noisy steps on Poisson samples are kept apart,
by kind, as their privacy loss is known more exactly. Epsilon is a function of a cost (``fedkd.privacy.accounting``).
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

from fedkd.errors import UserError

Adjacency = Literal["add-remove", "replace-one"]


@dataclass(frozen=True, order=True)
class Steps:
    """Steps that each add Gaussian noise to the sum of a Poisson sample of clipped vectors.

    Attributes
    ----------
    adjacency : str
        The neighbouring data set: without the vector (``add-remove``), or with any other (``replace-one``).
    multiplier : float
        Standard deviation of the noise over the clip.
    rate : float
        Sampling rate; at 1 every vector is in every sample.
    count : int
        Number of steps.
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
                f"{self.count} steps at noise {self.multiplier} and sampling rate {self.rate} have no cost; noise "
                "must be positive and finite, the rate above 0 and at most 1, and there is a step at least"
            )


@dataclass(frozen=True)
class Cost:
    """The cost of releases on the same data.

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


def total(costs: Iterable[Cost]) -> Cost:
    """Return the cost of several releases on the same data; the sums are rounded once."""
    parts = list(costs)
    together = all(part.gaussian for part in parts)
    counts = Counter[Steps]()
    for steps in (steps for part in parts for steps in part.sampled):
        counts[replace(steps, count=1)] += steps.count
    sampled = tuple(replace(kind, count=count) for kind, count in sorted(counts.items()))
    return Cost(math.fsum(part.rho for part in parts), together, sampled)


def skellam_cost(variance: float, l2: float, l1: float) -> Cost:
    """Return the cost of a sum of integers under Skellam noise.

    Agarwal, Kairouz & Liu, The Skellam mechanism for differentially private federated learning, NeurIPS 2021,
    theorem 3.5; the smaller of its two bounds. What does not grow with the order ``a`` counts ``a / 2`` times.

    Parameters
    ----------
    variance : float
        Variance of the noise on a coordinate, in squared grid steps.
    l2, l1 : float
        Sensitivities in grid steps.
    """
    rho = l2 * l2 / (2 * variance)
    growing = (l2 * l2 + max(0.0, 6 * l1 - l2 * l2) / 4) / (2 * variance**2)
    constant = 1.5 * l1 / variance / 2
    return Cost(rho + min(growing, constant), gaussian=False)
