"""The base of mechanisms for votes, which take the place of noise on their sums."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedkd.aggregation.aggregator import Specs
from fedkd.errors import UserError
from fedkd.messages.types import Kind, Spec
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.privacy.votes import choices


@dataclass(frozen=True)
class VoteMechanism(Mechanism):
    """Votes of every client among some items, one a query.

    Budgets are planned as for noise on sums, as a bound ``rho`` on the Renyi divergence that a release may add; the
    multiplier that is written down is that of the Gaussian release with this cost.

    Attributes
    ----------
    queries, items : int
        How many votes a client casts in a release, and among how many items.

    Notes
    -----
    The class attribute ``votes`` is the name in ``privacy.votes``.
    """

    votes: ClassVar[str]

    queries: int = 1
    items: int = 1

    @property
    def rho(self) -> float:
        """Renyi divergence that one query may add, over the order."""
        return float(0.5 * (self.sensitivity / self.multiplier) ** 2 / self.queries)

    @property
    @abstractmethod
    def query_epsilon(self) -> float:
        """Epsilon of one query."""

    @property
    def description(self) -> str:
        """The mechanism in a few words."""
        return f"{self.votes}, epsilon {self.query_epsilon:.4g} for each of {self.queries} votes"

    def specs(self, plain: Specs) -> Specs:
        """Return the form of votes as they leave: whole numbers, as they are without protection.

        Raises
        ------
        UserError
            Answers that are no votes, or other ones than the plan is for.
        """
        spec = next(iter(plain.values()))
        if len(plain) != 1 or spec.kind is not Kind.VOTES or spec.quantiser is None:
            raise UserError(f"privacy.votes={self.votes} protects votes alone; leave it at gaussian")
        if spec.shape != (self.queries, self.items):
            raise UserError(f"the budget is for {self.queries} votes among {self.items} items, not for {spec.shape}")
        return plain

    def contribution(self, values: Any, spec: Spec, count: int) -> Any:
        """Return the summed votes of some clients as they leave them, shape [queries, items].

        Parameters
        ----------
        values : ndarray, shape [clients, queries, items]
            A client's entries count as one vote a query at most, whatever they are.
        spec : Spec
            As ``specs`` gives it.
        count : int
            How many clients there are.
        """
        del spec, count
        return self.cast(values)

    def cast(self, votes: NDArray[Any]) -> NDArray[np.int64]:
        """Return the summed votes of some clients, shape [queries, items]."""
        return np.asarray((choices(votes)[..., None] == np.arange(votes.shape[-1])).sum(axis=0), np.int64)
