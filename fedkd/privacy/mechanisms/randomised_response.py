"""Randomised response: every client replaces each of its choices by an even draw, with a public probability."""

import math
from functools import cached_property
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.types import Spec
from fedkd.privacy.events import Cost
from fedkd.privacy.guarantee import Guarantee
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.privacy.mechanisms.local import Local
from fedkd.privacy.mechanisms.votes import VoteMechanism
from fedkd.privacy.randomness import noise_generator
from fedkd.privacy.schedule import Response
from fedkd.privacy.votes import respond, response, unbiased


class RandomisedResponse(VoteMechanism, Local):
    """Randomised response over all items and "none" (Kairouz, Bonawitz & Ramage, ICML 2016)."""

    votes: ClassVar[str] = "randomised-response"
    afterword: ClassVar[str] = (
        " Every client replaces each of its choices by an even draw with a public probability, in place of noise."
    )

    @classmethod
    def refusal(cls, guarantee: Guarantee) -> str | None:
        """Return why the mechanism cannot keep a guarantee."""
        if guarantee.adjacency != "replace-one":
            return (
                "votes=randomised-response hides the choice of a client, not that it votes; set privacy.mode=local and "
                "privacy.adjacency=replace-one"
            )
        return super().refusal(guarantee)

    @cached_property
    def query_epsilon(self) -> float:
        """Epsilon of one response at delta 0: two unit normals at some distance reveal at least as much."""
        half = math.sqrt(2 * self.rho) / 2
        return math.log(NormalDist().cdf(half) / NormalDist().cdf(-half)) * (1 - 1e-9)

    @cached_property
    def cost(self) -> Cost:
        """The accounting event of one release."""
        return Cost.of_pure(self.query_epsilon).times(self.queries)

    @cached_property
    def responses(self) -> Response:
        """The randomised response of a client to one query."""
        return response(self.query_epsilon, self.items)

    @property
    def noise(self) -> float:
        """Standard deviation of a count in the estimate of a round's sum, over the norm of one client's votes."""
        chance = self.responses.randomness / self.responses.values
        one = math.sqrt(chance * (1 - chance)) / (1 - self.responses.randomness)
        return one * math.sqrt(self.participants / self.queries)

    def cast(self, votes: NDArray[Any]) -> NDArray[np.int64]:
        """Return the summed responses of some clients, shape [queries, items]."""
        return np.asarray(respond(votes, self.responses, noise_generator()).sum(axis=0))

    def released(self, total: Any, spec: Spec, count: int) -> NDArray[Any]:
        """Return an unbiased estimate of the votes."""
        del spec
        return unbiased(total, count, self.responses)

    def beside(self, portion: float) -> Mechanism:
        """Return the noise of one other release that uses a portion of the budget."""
        return Local(self.guarantee, self.participants, 1, portion)
