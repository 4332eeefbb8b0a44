"""What a budget buys, before anything is released: noise, signal, an adversary's chances, what would be cheaper."""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from fedkd.errors import UserError
from fedkd.evaluation.device import METRICS_SUM, estimated
from fedkd.evaluation.metrics import METRICS
from fedkd.privacy.options import PrivacyOptions
from fedkd.privacy.protection import Protection

FAINTEST = 0.1
"""Signal to noise of a sum in which all clients agree; below it a release says nothing, and a plan is refused."""


LARGEST = 1e4
"""An epsilon above which nothing is promised."""


@dataclass(frozen=True)
class Plan:
    """A budget and what it is for; every number is public.

    Attributes
    ----------
    options : PrivacyOptions
        Mode and budget.
    clients : int
        Clients that take part in a release, as planned.
    releases : int
        How often one client contributes.
    dimensions : int
        Coordinates of one answer.
    """

    options: PrivacyOptions
    clients: int
    releases: int
    dimensions: int

    @property
    def protection(self) -> Protection:
        """The noise that the plan means."""
        return Protection(self.options, self.clients, self.releases, self.options.answers_share)

    @property
    def noise(self) -> float:
        """Standard deviation of the noise on every coordinate of the sum, over the clip."""
        return self.protection.noise

    @property
    def metrics_error(self) -> float | None:
        """Standard error that the noise gives to a released metric of 0.5; None where none is released."""
        guard = self.protection.metrics
        if guard is None:
            return None
        sums = np.append(np.full(len(METRICS), self.clients / 2), self.clients)
        return estimated(sums, guard.noise * (METRICS_SUM["metrics"].clip or 1.0)).get(f"{METRICS[0]}.noise", math.inf)

    @property
    def signal_to_noise(self) -> float:
        """The largest norm a sum can have, all clients at the clip and of one mind, over the expected norm of noise."""
        return self.clients / (self.noise * math.sqrt(self.dimensions))

    def check(self) -> "Plan":
        """Return the plan if it is sensible.

        Raises
        ------
        UserError
            Delta is so large that it permits the release of one client's data, or the noise drowns everything; the
            message names the nearest setting that would do.
        """
        epsilon, delta = self.options.budget
        if delta >= 1 / self.clients:
            raise UserError(
                f"delta {delta:g} is at least 1 / {self.clients} clients: publishing someone's data would be allowed; "
                f"the largest sensible delta is {0.1 / self.clients:.1g}"
            )
        if self.signal_to_noise < FAINTEST:
            fewer = self._dimensions()
            raise UserError(
                f"at epsilon {epsilon:g} a sum of {self.dimensions} coordinates over {self.clients} clients has "
                f"signal to noise {self.signal_to_noise:.2g} at most, below {FAINTEST}; {self._feasible()}"
                + (f", or release {fewer} coordinates" if fewer else "")
            )
        return self

    def cheaper(self) -> list[tuple[str, "Plan"]]:
        """Return what would raise the signal over the noise, and the plans that do it."""
        ways = [
            ("a quarter of the dimensions", replace(self, dimensions=max(1, self.dimensions // 4))),
            ("four times the clients", replace(self, clients=4 * self.clients)),
        ]
        return [*ways, ("one release", replace(self, releases=1))] if self.releases > 1 else ways

    def power(self, false_alarms: float) -> float:
        """Return how often, at most, an adversary recognises a client at a rate of false alarms.

        In the Gaussian modes this is exact (Dong, Roth & Su, Gaussian differential privacy, 2022); for Skellam noise it
        is what (epsilon, delta) permits (Kairouz, Oh & Viswanath, The composition theorem, 2015).
        """
        if self.options.mode != "distributed":
            releases = self.releases / self.protection.portion
            shift = self.protection.sensitivity * math.sqrt(releases) / self.protection.multiplier
            return NormalDist().cdf(NormalDist().inv_cdf(false_alarms) + shift)
        epsilon, delta = self.options.budget
        most = math.exp(min(epsilon, 700.0))  # more cannot be written down, and says no more
        return min(1.0, most * false_alarms + delta, 1 - math.exp(-epsilon) * (1 - delta - false_alarms))

    def belief(self) -> float:
        """Return the largest belief that a client took part, of someone who held it for a toss of a coin before."""
        epsilon, _ = self.options.budget
        return 1 / (1 + math.exp(-epsilon))

    def _feasible(self) -> str:
        """Say which epsilon would do, if any does that still means something."""
        low, high = self.options.budget[0], LARGEST
        for _ in range(40):
            middle = math.sqrt(low * high)
            options = self.options.model_copy(update={"epsilon": middle})
            enough = replace(self, options=options).signal_to_noise >= FAINTEST
            low, high = (low, middle) if enough else (middle, high)
        if high == LARGEST:
            return f"no epsilon up to {LARGEST:g} is feasible"
        return f"the nearest feasible epsilon is {_rounded_up(high)}"

    def _dimensions(self) -> int:
        """Return how many coordinates would do at this epsilon; 0 if none."""
        return int((self.clients / (self.noise * FAINTEST)) ** 2)


def _rounded_up(value: float) -> str:
    """Return a number with two digits that is not below it."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(value / step) * step:.2g}"
