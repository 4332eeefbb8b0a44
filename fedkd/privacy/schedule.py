"""Planned events: releases that are fixed before the first of them, without forbidden mixtures."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from fedkd.errors import UserError
from fedkd.privacy.events import Adjacency, Cost, skellam_cost

Sampling = Literal["none", "fixed-size", "poisson"]
Content = Literal["vector", "vote", "bounded"]
Noise = Literal["gaussian", "discrete-gaussian", "skellam"]

SENSITIVITY: dict[Content, dict[Adjacency, float]] = {
    "vector": {"add-remove": 1.0, "replace-one": 2.0},
    "vote": {"add-remove": 1.0, "replace-one": math.sqrt(2)},
    "bounded": {"add-remove": 1.0, "replace-one": 1.0},
}
"""Sensitivity of a sum to one unit, over the bound of a contribution: a clipped vector, a one-hot vote (GNMax), a
number between 0 and the bound (a metric, or the largest count of a vote)."""


@dataclass(frozen=True)
class Release:
    """One kind of noisy sum, released some number of times.

    Attributes
    ----------
    multiplier : float
        Standard deviation of the noise over the bound of one contribution; positive.
    rate : float
        Probability with which Poisson sampling includes a unit; 1 without sampling.
    count : int
        How often it is released.
    content : str
        Kind of the summed values, ``vector``, ``vote`` or ``bounded``, which decides the sensitivity.
    noise : str
        ``gaussian`` (also rounded to a grid after it was added), ``discrete-gaussian`` or ``skellam``.
    step : float
        Grid step over the bound; Skellam noise alone needs it.
    dimensions : int
        Coordinates of the sum; Skellam noise alone needs it.
    """

    multiplier: float
    rate: float = 1.0
    count: int = 1
    content: Content = "vector"
    noise: Noise = "gaussian"
    step: float = 2.0**-16
    dimensions: int = 1

    def __post_init__(self) -> None:
        if not (self.multiplier > 0 and math.isfinite(self.multiplier)):
            raise UserError(f"the noise multiplier is {self.multiplier}; it must be positive and finite, such as 1.1")
        if not 0 < self.rate <= 1:
            raise UserError(f"the sampling rate is {self.rate}; it must be above 0 and at most 1")
        if self.count < 1 or self.dimensions < 1 or not 0 < self.step <= 1:
            raise UserError(f"{self.count} releases of {self.dimensions} coordinates in steps of {self.step} are none")
        if self.rate < 1 and self.noise != "gaussian":
            raise UserError(f"sampling is accounted for Gaussian noise alone, not for {self.noise}; use rate 1")

    @property
    def unusual(self) -> bool:
        """Whether it is a sample of something else than clipped vectors."""
        return self.rate < 1 and self.content != "vector"

    def effective(self, adjacency: Adjacency) -> float:
        """Return the noise over the sensitivity of a single release."""
        return self.multiplier / SENSITIVITY[self.content][adjacency]

    def cost(self, adjacency: Adjacency) -> Cost:
        """Return the bound on the Renyi divergence of all its releases together; without sampling only."""
        z = self.effective(adjacency)
        if self.noise == "skellam":
            l2 = self.multiplier / z / self.step
            l1 = min(l2 * l2, l2 * math.sqrt(self.dimensions))
            return skellam_cost((self.multiplier / self.step) ** 2, l2, l1).times(self.count)
        return replace(Cost.of_gaussian(z), gaussian=self.noise == "gaussian").times(self.count)


@dataclass(frozen=True)
class Response:
    """Randomised response: a value out of some is kept, or replaced by any of them, evenly.

    Attributes
    ----------
    randomness : float
        Probability of an even draw over all values; between 0 and 1.
    values : int
        How many values there are.
    count : int
        How often it is released.
    """

    randomness: float
    values: int = 2
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.randomness <= 1 or self.values < 2 or self.count < 1:
            raise UserError(
                f"randomised response draws evenly with probability {self.randomness} over {self.values} values, "
                f"{self.count} times; allowed are above 0 to 1, at least 2 values, at least once"
            )

    @property
    def pure(self) -> float:
        """Epsilon of one response, at delta 0: the logarithm of the largest ratio of two probabilities."""
        return math.log1p((1 - self.randomness) * self.values / self.randomness)

    def cost(self, adjacency: Adjacency) -> Cost:
        """Return the bound on the Renyi divergence of all its releases together."""
        return Cost.of_pure(self.pure).times(self.count) if self.pure else Cost(0.0)


@dataclass(frozen=True)
class Schedule:
    """Releases on the same data, all fixed before the first.

    Attributes
    ----------
    releases : tuple
        What is released.
    adjacency : str
        ``add-remove`` one unit, or ``replace-one`` by another.
    sampling : str
        The real sampling: ``none``; ``fixed-size`` cohorts, which amplify nothing here; ``poisson``: an independent,
        secret coin for every registered unit.
    """

    releases: tuple[Release | Response, ...]
    adjacency: Adjacency = "add-remove"
    sampling: Sampling = "none"

    def __post_init__(self) -> None:
        if self.adjacency not in ("add-remove", "replace-one"):
            raise UserError(f"adjacency is {self.adjacency}; it can be add-remove or replace-one")
        if self.sampling not in ("none", "fixed-size", "poisson"):
            raise UserError(f"sampling is {self.sampling}; it can be none, fixed-size or poisson")
        if self.sampled and self.sampling != "poisson":
            raise UserError(
                f"a sampling rate below 1 claims amplification, and sampling {self.sampling} gives none; "
                "use rate 1, or sampling poisson where every unit is drawn by its own secret coin"
            )
        if self.adjacency == "add-remove" and any(isinstance(part, Response) for part in self.releases):
            raise UserError("randomised response hides a value, not who answers; account it under replace-one")
        if self.adjacency == "replace-one" and any(isinstance(p, Release) and p.unusual for p in self.releases):
            raise UserError("under replace-one, sampling is accounted for vectors alone; use rate 1, or add-remove")
        if (self.sampled or self.responds) and not self._gaussian:
            raise UserError("sampled releases and responses cannot be accounted beside discrete or Skellam noise")

    @property
    def sampled(self) -> bool:
        """Whether any release is of a Poisson sample."""
        return any(isinstance(part, Release) and part.rate < 1 for part in self.releases)

    @property
    def responds(self) -> bool:
        """Whether any release is a randomised response."""
        return any(isinstance(part, Response) for part in self.releases)

    @property
    def _gaussian(self) -> bool:
        return all(isinstance(part, Response) or part.noise == "gaussian" for part in self.releases)

    @property
    def statement(self) -> str:
        """Adjacency and sampling, in the words that belong beside every number."""
        words = {"none": "no sampling", "fixed-size": "fixed-size cohorts, no amplification", "poisson": "Poisson"}
        return f"{self.adjacency}, {words[self.sampling]}"

    def scaled_noise(self, factor: float) -> "Schedule":
        """Return the schedule with all noise of its releases scaled; responses stay."""
        scaled = (p if isinstance(p, Response) else replace(p, multiplier=factor * p.multiplier) for p in self.releases)
        return replace(self, releases=tuple(scaled))
