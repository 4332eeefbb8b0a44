"""Noisy maxima: a trusted server releases the winner of every vote under Gumbel noise, and no count."""

import math
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.types import Spec
from fedkd.privacy.accounting import renyi_multiplier
from fedkd.privacy.events import Cost
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.privacy.mechanisms.central import Central
from fedkd.privacy.mechanisms.votes import VoteMechanism
from fedkd.privacy.randomness import noise_generator
from fedkd.privacy.votes import max_cost, noisy_max


class BesideMaxima(Central):
    """Gaussian noise beside noisy maxima, whose costs are not Gaussian: all are counted as concentrated."""

    @cached_property
    def multiplier(self) -> float:
        """Noise of one release over the clip."""
        most = renyi_multiplier(*self.guarantee.budget)
        return self.sensitivity * most * math.sqrt(self.releases / self.portion)

    @cached_property
    def cost(self) -> Cost:
        """The accounting event of one release."""
        return replace(Cost.of_gaussian(self.multiplier / self.sensitivity), gaussian=False)


class NoisyMax(VoteMechanism, BesideMaxima):
    """Report-noisy-max (Dwork & Roth, The algorithmic foundations of differential privacy, 2014, section 3.3)."""

    votes: ClassVar[str] = "noisy-max"
    afterword: ClassVar[str] = " Of every vote the server tells the winner under Gumbel noise, and no count."

    @cached_property
    def query_epsilon(self) -> float:
        """Epsilon of one query: the range of its privacy loss."""
        return math.sqrt(8 * self.rho)

    @cached_property
    def cost(self) -> Cost:
        """The accounting event of one release."""
        return max_cost(self.query_epsilon, self.queries)

    @property
    def noise(self) -> float:
        """Return 0, because no count is released that could be uncertain."""
        return 0.0

    def released(self, total: Any, spec: Spec, count: int) -> NDArray[Any]:
        """Return the winner of every query with all the votes, because no count is released."""
        del spec, count
        winners = noisy_max(total, self.query_epsilon, self.guarantee.adjacency, noise_generator())
        return np.asarray(winners * self.participants)

    def beside(self, portion: float) -> Mechanism:
        """Return the noise of one other release that uses a portion of the budget."""
        return BesideMaxima(self.guarantee, self.participants, 1, portion)
