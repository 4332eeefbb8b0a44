"""Distributed differential privacy: every client adds a share of the noise, and the sum carries all of it.

Skellam noise, since sums of Skellam numbers are Skellam numbers: the noise of a simulated cohort is what its clients
would have added one by one (Agarwal, Kairouz & Liu, The Skellam mechanism, NeurIPS 2021).
"""

import math
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedkd.privacy.events import Cost, skellam_cost
from fedkd.privacy.guarantee import Guarantee
from fedkd.privacy.mechanisms.base import FINEST, WIDEST, Mechanism
from fedkd.privacy.mechanisms.description import Way
from fedkd.privacy.randomness import noise_generator
from fedkd.privacy.skellam import skellam, skellam_multiplier


class Distributed(Mechanism):
    """Skellam noise, a share from every client; the stated share of them must be honest."""

    name: ClassVar[str] = "distributed"
    strength: ClassVar[int] = 2
    server_pays: ClassVar[bool] = True
    client_pays: ClassVar[bool] = True
    shared: ClassVar[bool] = True
    trust: ClassVar[str] = (
        "every client adds a share of the noise, and the sum is private against whoever sees the sum alone, as long as "
        "the stated share of the planned clients is honest and stays; single answers carry too little noise to be seen"
    )
    way: ClassVar[Way] = Way(
        client="clips, adds a share",
        total="(epsilon, delta)",
        server="",
        models="(epsilon, delta)",
        single="a share of the noise in each",
    )

    @classmethod
    def condition(cls, guarantee: Guarantee) -> str:
        """Return how many clients must be honest."""
        return f" That share is {guarantee.honest_fraction:.0%}."

    @property
    def _honest(self) -> int:
        return max(1, math.floor(self.guarantee.honest_fraction * self.participants))

    @property
    def _steps(self) -> tuple[float, float]:
        """Sensitivities of the sum in the norms l2 and l1, in steps."""
        steps = self.sensitivity / FINEST
        return steps, steps * math.sqrt(WIDEST)

    @cached_property
    def multiplier(self) -> float:
        """Noise that the honest clients together put on the sum, over the clip."""
        one = skellam_multiplier(*self.guarantee.budget, *self._steps, self.releases / self.portion)
        return self.sensitivity * one

    @cached_property
    def cost(self) -> Cost:
        """The accounting event of one release, for everyone who contributes to it."""
        return skellam_cost((self.multiplier / FINEST) ** 2, *self._steps)

    @property
    def description(self) -> str:
        """The mechanism in a few words."""
        return f"Skellam noise, multiplier {self.multiplier:.4g}"

    @property
    def noise(self) -> float:
        """Standard deviation of the noise if all participants add theirs, over the clip."""
        return self.multiplier / math.sqrt(self._honest / self.participants)

    @property
    def quorum(self) -> int:
        """Fewest answers whose sum carries all the noise."""
        return self._honest

    def client_noise(self, exact: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Return the sum with the shares of ``count`` clients."""
        variance = count * (self.multiplier / FINEST) ** 2 / self._honest
        return exact + skellam(variance, exact.shape, noise_generator())
