"""The policies of the feedback loop: the configured protocol, and the controls beside it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold, Partition, Split
from fedkd.data.interactions import Interactions
from fedkd.data.sources.base import Loaded
from fedkd.errors import UserError
from fedkd.feedback.memory import Memory
from fedkd.feedback.world import Ints, World
from fedkd.messages.types import Asks, Estimates
from fedkd.models.base import Recommender, score
from fedkd.privacy.mechanisms.base import ANSWERS, Mechanism
from fedkd.protocols.base import State
from fedkd.protocols.rounds import refreshed
from fedkd.ragged import Ragged, offsets
from fedkd.random_streams import stream
from fedkd.runs.config import Config
from fedkd.runs.dry_simulation import DrySimulation
from fedkd.runs.federation import Federation
from simulations.baselines import central_ease


class Policy(Protocol):
    """A way to make lists."""

    def learn(self, memory: Memory, iteration: int) -> None:
        """Take in what happened before an iteration; 0 is the first."""

    def scores(self, histories: Ragged, users: Ints, world: World) -> NDArray[np.float64]:
        """Return how good every item is for users with these histories, shape [users, items]."""


@dataclass
class Random:
    """Shows anything."""

    rng: np.random.Generator

    def learn(self, memory: Memory, iteration: int) -> None:
        """Learn nothing."""

    def scores(self, histories: Ragged, users: Ints, world: World) -> NDArray[np.float64]:
        """Return chance."""
        return self.rng.random((len(users), len(world.born)))


class Oracle:
    """Knows the truth: the best that any policy can do."""

    def learn(self, memory: Memory, iteration: int) -> None:
        """Learn nothing, as it knows everything."""

    def scores(self, histories: Ragged, users: Ints, world: World) -> NDArray[np.float64]:
        """Return the true utility."""
        return world.attraction()[users]


class Popular:
    """Shows what most users took."""

    def learn(self, memory: Memory, iteration: int) -> None:
        """Count."""
        self.counts = memory.seen.sum(0).astype(np.float64)

    def scores(self, histories: Ragged, users: Ints, world: World) -> NDArray[np.float64]:
        """Return the counts."""
        return np.broadcast_to(self.counts, (len(users), len(self.counts)))


@dataclass
class Centralised:
    """EASE of everyone's histories in one place, trained again before every list."""

    config: Config
    catalogue: Catalogue
    model: Recommender | None = None

    def learn(self, memory: Memory, iteration: int) -> None:
        """Train on everything."""
        self.model = central_ease(memory.interactions(self.catalogue), self.config)

    def scores(self, histories: Ragged, users: Ints, world: World) -> NDArray[np.float64]:
        """Return the model's scores."""
        assert self.model is not None
        return score(self.model, histories).astype(np.float64)


class Federated:
    """The configured protocol: clients answer again, then teacher and student are taught.

    Without protection those answer whose history changed. Under protection everyone answers in every release, as the
    choice would tell whose history changed; the budget is divided among all planned releases, each is charged before
    it is made, and one that the account does not allow is not made.

    Parameters
    ----------
    config : Config
        The run's settings.
    catalogue : Catalogue
        The items.
    users : int
        Number of users, all registered from the beginning; some of them public.
    updates : bool
        Whether clients answer after the first list too; otherwise the student stays as it is.
    pay : callable
        Charges the release of a round before it is made, and returns whether the budget allows it.
    """

    def __init__(
        self,
        config: Config,
        catalogue: Catalogue,
        users: int,
        updates: bool = True,
        pay: Callable[[int], bool] = lambda number: True,
    ) -> None:
        self.config, self.catalogue, self.updates, self.pay = config, catalogue, updates, pay
        self.public, self.private = public_and_private(config, users)
        self.simulation: DrySimulation | None = None
        self.state: State | None = None
        self.answers = self.releases = 0
        self.refused = False
        self.lengths = np.zeros(len(self.private), np.int64)

    def learn(self, memory: Memory, iteration: int) -> None:
        """Let clients answer, and teach; a frozen student learns before the first list alone."""
        if iteration and not self.updates:
            return
        interactions = memory.interactions(self.catalogue)
        before, due = self._before(interactions), self._due(interactions, iteration)
        played = refreshed(self.config.algorithm, before, due, iteration + 1, self._collect)
        self.state = before if self.refused and iteration else played.state

    def _before(self, interactions: Interactions) -> State:
        """Return the state with what public users have had by now."""
        together, clients = self._together(interactions), np.arange(len(self.private))
        if self.simulation is None or self.state is None:
            planned = planned_releases(self.config, self.updates)
            self.simulation = DrySimulation(self.config, together, clients, releases=planned)
            self.state = self.simulation.begin()
        self.simulation.together = together
        return replace(self.state, setup=replace(self.state.setup, public=interactions.take(self.public)))

    def _due(self, interactions: Interactions, iteration: int) -> Ints:
        """Return who answers again; before the first list everyone is due as it is."""
        lengths, before = interactions.histories.lengths[self.private], self.lengths
        self.lengths = lengths
        if not iteration:
            return np.zeros(0, np.int64)
        return np.arange(len(lengths)) if self.mechanism.active else np.flatnonzero(lengths != before)

    def _collect(self, asks: Asks) -> Estimates | None:
        assert self.simulation is not None
        if not len(asks.clients):
            return None
        self.refused = not self.pay(asks.round)
        if self.refused:
            return None
        self.releases += 1
        self.answers += len(asks.clients)
        return self.simulation.collect(asks)

    @property
    def mechanism(self) -> Mechanism:
        """The noise of every answer."""
        assert self.simulation is not None
        return self.simulation.mechanism

    @property
    def costs(self) -> dict[str, float]:
        """The cost of the releases so far, and whether the budget forbade the latest; empty without protection."""
        if not self.mechanism.active:
            return {}
        return {"epsilon": self.mechanism.spent({ANSWERS: self.releases}), "refused": float(self.refused)}

    def _together(self, interactions: Interactions) -> Federation:
        nothing = interactions.where(np.zeros(len(interactions), bool))
        fold = Fold(interactions, interactions, nothing)
        clients = Ragged(self.private, offsets(np.ones(len(self.private), np.int64)))
        return Federation(
            Loaded(interactions, {}, "feedback", ""), Split(fold, fold, "", {}), fold, Partition(self.public, clients)
        )

    @property
    def teacher(self) -> Recommender | None:
        """The server's model."""
        assert self.state is not None
        return self.config.algorithm.teacher(self.state)

    def scores(self, histories: Ragged, users: Ints, world: World) -> NDArray[np.float64]:
        """Return the student's scores."""
        assert self.state is not None
        if (student := self.config.algorithm.student(self.state)) is None:
            raise UserError(
                f"with algorithm {self.config.algorithm.name} every client keeps a student of its own, and the loop "
                "shows the lists of one student for everybody; set algorithm.name=residual"
            )
        return score(student, histories).astype(np.float64)


def public_and_private(config: Config, users: int) -> tuple[Ints, Ints]:
    """Return which users are public, and which are clients, both ascending."""
    public = round(config.partition.public_fraction * users)
    order = stream(config.seed, "public users").permutation(users)
    return np.sort(order[:public]), np.sort(order[public:])


def planned_releases(config: Config, updates: bool) -> int:
    """Return how often everyone answers: before every list, or before the first one alone."""
    return config.feedback.iterations if updates else 1
