"""Votes under mechanisms of their own, in place of noise on their sums.

``noisy-max`` (mode central): the trusted server tells of every query which item has the largest count under Gumbel
noise, and no count. ``randomised-response`` (mode local): every client replaces each of its choices by an even draw,
with a public probability, before anything leaves. Budgets are planned as for noise on sums, as a bound ``rho`` on the
Renyi divergence that a release may add; the multiplier that is written down is that of the Gaussian release with this
cost.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.errors import UserError
from fedkd.messages.types import Answers, Kind, Spec
from fedkd.privacy.events import Cost
from fedkd.privacy.mechanism import Protection
from fedkd.privacy.randomness import noise_generator
from fedkd.privacy.schedule import Response
from fedkd.privacy.votes import choices, max_cost, noisy_max, respond, response, unbiased


@dataclass(frozen=True)
class BallotProtection(Protection):
    """How votes are protected, fixed before the run.

    Attributes
    ----------
    queries, items : int
        How many votes a client casts in a release, and among how many items.
    """

    queries: int = 1
    items: int = 1

    @cached_property
    def query_epsilon(self) -> float:
        """Epsilon of one query: the range of its privacy loss (noisy-max), or that of a response at delta 0."""
        rho = 0.5 * (self.sensitivity / self.multiplier) ** 2 / self.queries
        if self.options.votes == "noisy-max":
            return math.sqrt(8 * rho)
        half = math.sqrt(2 * rho) / 2  # of the distance of two unit normals that reveal at least as much
        return math.log(NormalDist().cdf(half) / NormalDist().cdf(-half)) * (1 - 1e-9)

    @cached_property
    def cost(self) -> Cost:
        """What one release costs everyone who contributes to it."""
        if self.options.votes == "noisy-max":
            return max_cost(self.query_epsilon, self.queries)
        return Cost.of_pure(self.query_epsilon).times(self.queries)

    @property
    def mechanism(self) -> str:
        """The mechanism, for people."""
        return f"{self.options.votes}, epsilon {self.query_epsilon:.4g} for each of {self.queries} votes"

    @cached_property
    def responses(self) -> Response:
        """What every client does with one choice, in mode local."""
        return response(self.query_epsilon, self.items)

    @cached_property
    def noise(self) -> float:
        """Standard deviation of a count in the estimate of a round's sum, over the norm of one client's votes.

        A noisy maximum tells no counts, so there is nothing to be uncertain of.
        """
        if self.options.votes == "noisy-max":
            return 0.0
        chance = self.responses.randomness / self.responses.values
        one = math.sqrt(chance * (1 - chance)) / (1 - self.responses.randomness)
        return one * math.sqrt(self.participants / self.queries)

    def specs(self, specs: Mapping[str, Spec]) -> Mapping[str, Spec]:
        """Return what votes look like when they leave: whole numbers, as they are without protection.

        Raises
        ------
        UserError
            Answers that are no votes, or other ones than the plan is for.
        """
        spec = next(iter(specs.values()))
        if len(specs) != 1 or spec.kind is not Kind.VOTES or spec.grid is None:
            raise UserError(f"privacy.votes={self.options.votes} protects votes alone; leave it at gaussian")
        if spec.shape != (self.queries, self.items):
            raise UserError(f"the budget is for {self.queries} votes among {self.items} items, not for {spec.shape}")
        return specs

    def cast(self, votes: NDArray[Any]) -> NDArray[np.int64]:
        """Return the summed votes of some clients, shape [queries, items], as they leave them.

        Whatever a client hands in counts as one vote a query at most.

        Parameters
        ----------
        votes : ndarray, shape [clients, queries, items]
        """
        if self.options.votes == "randomised-response":
            return np.asarray(respond(votes, self.responses, noise_generator()).sum(axis=0))
        return np.asarray((choices(votes)[..., None] == np.arange(votes.shape[-1])).sum(axis=0), np.int64)

    def contribution(self, answers: Answers, specs: Mapping[str, Spec]) -> dict[str, Any]:
        """Return the summed votes of some clients."""
        return {name: self.cast(answers.values[name]) for name in specs}

    def sum(self, answers: Answers, specs: Mapping[str, Spec]) -> Answers:
        """Return what the server may know of a round's votes.

        With noisy-max the winner of every query holds all the votes, as no count is told.
        """
        del specs
        values: dict[str, Any] = dict(answers.values)
        for name, counts in values.items():
            if self.options.votes == "noisy-max":
                winners = noisy_max(counts, self.query_epsilon, self.options.adjacency, noise_generator())
                values[name] = winners * self.participants
            else:
                values[name] = unbiased(counts, len(answers.clients), self.responses)
        return replace(answers, values=values)
