"""The plan of a budget before any release: noise, signal, an adversary's success, cheaper settings."""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from fedkd.errors import UserError
from fedkd.evaluation.device import METRICS_SUM, estimated
from fedkd.evaluation.metrics import METRICS
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.events import Cost
from fedkd.privacy.mechanisms.base import METRICS as METRICS_RELEASE
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.privacy.options import PrivacyOptions

FAINTEST = 0.1
"""Smallest ratio of signal to noise in a sum in which all clients agree; a plan below it is refused."""

FALSE_ALARMS = (0.01, 0.1)
"""Rates of false alarms at which an adversary's success is shown."""

EVERYBODY = 0.99
"""Share of clients that an adversary may recognise, at the smallest of these rates, where nothing is protected."""

DELTAS = tuple(2.0**-power for power in range(1, 60))
"""Noise that is not Gaussian is private for many pairs of epsilon and delta; these are tried."""


@dataclass(frozen=True)
class Plan:
    """A budget with the releases that it pays for; every number is public.

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
    def mechanism(self) -> Mechanism:
        """The mechanism of the plan."""
        return self.options.planned(self.clients, self.releases, self.options.answers_share)

    @property
    def noise(self) -> float:
        """Standard deviation of the noise on every coordinate of the sum, over the clip."""
        return self.mechanism.noise

    @property
    def metrics_error(self) -> float | None:
        """Standard error that the noise gives to a released metric of 0.5; None where none is released."""
        guard = self.mechanism.part(METRICS_RELEASE)
        if guard is None:
            return None
        sums = np.append(np.full(len(METRICS), self.clients / 2), self.clients)
        return estimated(sums, guard.noise * (METRICS_SUM["metrics"].clip or 1.0)).get(f"{METRICS[0]}.noise", math.inf)

    @property
    def signal_to_noise(self) -> float:
        """The largest norm of a sum, with equal answers at the clip, over the expected norm of the noise."""
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
                f"it must be below {1 / self.clients:.3g}, and safer is {0.1 / self.clients:.1g} or less"
            )
        if self.signal_to_noise < FAINTEST:
            raise UserError(
                f"at epsilon {epsilon:g} a sum of {self.dimensions} coordinates over {self.clients} clients has "
                f"signal to noise {self.signal_to_noise:.2g} at most, below {FAINTEST}; {self._advice()}"
            )
        return self

    def cheaper(self) -> list[tuple[str, "Plan"]]:
        """Return settings that would raise the signal over the noise, with their plans."""
        ways = [
            ("a quarter of the dimensions", replace(self, dimensions=max(1, self.dimensions // 4))),
            ("four times the clients", replace(self, clients=4 * self.clients)),
        ]
        return [*ways, ("one release", replace(self, releases=1))] if self.releases > 1 else ways

    def power(self, false_alarms: float) -> float:
        """Return how often, at most, an adversary recognises a client at a rate of false alarms.

        Exact for Gaussian noise (Dong, Roth & Su, Gaussian differential privacy, 2022); for other noise a bound, the
        least that its pairs of epsilon and delta permit (Kairouz, Oh & Viswanath, The composition theorem, 2015).
        """
        cost = self._cost
        if cost.gaussian:
            return NormalDist().cdf(NormalDist().inv_cdf(false_alarms) + math.sqrt(2 * cost.rho))
        pairs = [self.options.budget, *((epsilon(cost, delta), delta) for delta in DELTAS)]
        return min(1.0, *(_permitted(false_alarms, *pair) for pair in pairs))

    @property
    def exact(self) -> bool:
        """Whether an adversary's success is known exactly, and not just bounded."""
        return self._cost.gaussian

    @property
    def protects(self) -> bool:
        """Whether there is anybody whom an adversary does not recognise almost surely."""
        return self.power(FALSE_ALARMS[0]) < EVERYBODY

    def belief(self) -> float:
        """Return the largest belief that a client took part, of someone who held it for a toss of a coin before."""
        epsilon, _ = self.options.budget
        return 1 / (1 + math.exp(-epsilon))

    @property
    def _cost(self) -> Cost:
        """The cost of all releases about one unit."""
        return self.mechanism.cost.times(self.releases / self.mechanism.portion)

    def _advice(self) -> str:
        """Return the settings that would let a sum rise above the noise."""
        feasible, fewer = self._feasible(), self._dimensions()
        ways = [f"release {fewer} coordinates"] if fewer else []
        if feasible is None:
            return " or ".join(["no epsilon that still promises anything would do; ask more clients", *ways])
        return ", or ".join([f"the nearest feasible epsilon is {_rounded_up(feasible)}", *ways])

    def _feasible(self) -> float | None:
        """Return the smallest epsilon at which a sum rises above the noise; None where that protects nobody."""
        low, high = self.options.budget[0], 1e4
        for _ in range(40):
            middle = self._at(math.sqrt(low * high))
            enough = middle.signal_to_noise >= FAINTEST
            low, high = (low, middle.options.budget[0]) if enough else (middle.options.budget[0], high)
        found = self._at(high)
        return high if found.protects and found.signal_to_noise >= FAINTEST else None

    def _at(self, epsilon: float) -> "Plan":
        return replace(self, options=self.options.model_copy(update={"epsilon": epsilon}))

    def _dimensions(self) -> int:
        """Return how many coordinates would do at this epsilon; 0 if none."""
        return int((self.clients / (self.noise * FAINTEST)) ** 2)


def _permitted(false_alarms: float, epsilon: float, delta: float) -> float:
    """Return how often an alarm may be right under (epsilon, delta)-privacy; above 1 where that says nothing."""
    raised = math.exp(min(0.0, epsilon + math.log(false_alarms))) + delta
    return min(raised, 1 - math.exp(-epsilon) * (1 - delta - false_alarms))


def _rounded_up(value: float) -> str:
    """Return a number with two digits that is not below it."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(value / step) * step:.2g}"
