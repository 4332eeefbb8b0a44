"""The feedback loop of one policy in one world: show, click, answer again, teach, and measure against the truth."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold, Partition, Split
from fedkd.data.interactions import Interactions
from fedkd.data.sources.base import Loaded
from fedkd.data.sources.synthetic_content import describe
from fedkd.evaluation.beyond import agreement
from fedkd.evaluation.evaluator import Lists
from fedkd.feedback import behaviour, measures, off_policy
from fedkd.feedback.memory import Memory
from fedkd.feedback.world import Ints, Marks, World
from fedkd.models.base import Recommender, score
from fedkd.protocols.base import State
from fedkd.protocols.rounds import play_round
from fedkd.ragged import Ragged, offsets
from fedkd.random_streams import stream
from fedkd.runs.config import Config
from fedkd.runs.dry_simulation import DrySimulation
from fedkd.runs.federation import Federation
from simulations.baselines import central_ease

OPENING = 20
"""Iterations of own finds alone before the first list."""


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
    """The configured protocol: clients whose history changed answer again, then teacher and student are taught.

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
    """

    def __init__(self, config: Config, catalogue: Catalogue, users: int, updates: bool = True) -> None:
        self.config, self.catalogue, self.updates = config, catalogue, updates
        public = round(config.partition.public_fraction * users)
        order = stream(config.seed, "public users").permutation(users)
        self.public, self.private = np.sort(order[:public]), np.sort(order[public:])
        self.simulation: DrySimulation | None = None
        self.state: State | None = None
        self.answers = 0
        self.lengths = np.zeros(len(self.private), np.int64)

    def learn(self, memory: Memory, iteration: int) -> None:
        """Let clients with a new history answer, and teach; a frozen student learns before the first list alone."""
        if iteration and not self.updates:
            return
        interactions = memory.interactions(self.catalogue)
        together = self._together(interactions)
        if self.simulation is None or self.state is None:
            self.simulation = DrySimulation(self.config, together, np.arange(len(self.private)))
            self.state = self.simulation.begin()
        self.simulation.together = together
        setup = replace(self.state.setup, public=interactions.take(self.public))
        state = replace(self.state, setup=setup)
        lengths = interactions.histories.lengths[self.private]
        due = np.flatnonzero(lengths != self.lengths)
        self.lengths = lengths
        state = self.config.algorithm.changed(state, due)
        played = play_round(
            self.config.algorithm, state, iteration + 1, np.arange(len(self.private)), len(self.private), self._collect
        )
        self.state = played.state

    def _collect(self, asks: Any) -> Any:
        assert self.simulation is not None
        self.answers += len(asks.clients)
        return self.simulation.collect(asks)

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
        student = self.config.algorithm.student(self.state)
        assert student is not None
        return score(student, histories).astype(np.float64)


def catalogue_of(world: World) -> Catalogue:
    """Return what may be seen of a world's items."""
    return describe(world.shelf, stream(world.seed, "world", "content"))


def opened(world: World) -> tuple[World, Memory]:
    """Return a world in which users found items by themselves for a while, and what they took."""
    memory = Memory.empty(world.num_users, len(world.born))
    for step in range(OPENING):
        rng = stream(world.seed, "opening", step)
        world, memory = _own_finds(world, memory, 0, rng)
    return world, memory


def loop(policy: Policy, world: World, memory: Memory) -> Iterator[dict[str, float]]:
    """Yield the measures of every iteration; the chance of users is the same for all policies."""
    options, catalogue = world.options, catalogue_of(world)
    for iteration in range(options.iterations):
        rng = stream(world.seed, "iteration", iteration)
        policy.learn(memory, iteration)
        users = np.flatnonzero(world.present(iteration))
        open_to = ~memory.seen[users] & world.available(iteration)
        histories = memory.interactions(catalogue).histories.take(users)
        lists = behaviour.best(policy.scores(histories, users, world), open_to, options.slate)
        shown = behaviour.show(lists, users, open_to, options.exploration, rng)
        attraction = world.attraction()
        clicked = behaviour.clicks(shown, attraction, options.position_bias, rng)
        yield {
            "iteration": iteration + 1,
            **_measured(world, memory, attraction, lists, users, open_to, clicked),
            **_estimated(world, attraction, shown, clicked, lists),
            **_distance(policy, histories, open_to, lists, users),
        }
        who, where = np.nonzero(clicked)
        world, memory = _own_finds(world, memory, iteration, rng, (users[who], shown.items[who, where]))


def _own_finds(
    world: World,
    memory: Memory,
    iteration: int,
    rng: np.random.Generator,
    taken: tuple[Ints, Ints] | None = None,
) -> tuple[World, Memory]:
    """Return world and memory after what was taken from lists, and what users found by themselves."""
    if taken is not None:
        memory = memory.after(*taken)
    present, available = world.present(iteration), world.available(iteration)
    open_to = ~memory.seen & available & present[:, None]
    met = world.meetings(rng)
    user, item = behaviour.own_finds(world.attraction(), met, open_to, world.options.organic, rng)
    every = (user, item) if taken is None else (np.concatenate([taken[0], user]), np.concatenate([taken[1], item]))
    return world.after(every[0], every[1], rng), memory.after(user, item)


def _measured(
    world: World, memory: Memory, attraction: Any, lists: Ints, users: Ints, open_to: Marks, clicked: Marks
) -> dict[str, float]:
    bias, items = world.options.position_bias, len(world.born)
    worth = behaviour.value(lists, users, attraction, bias)
    possible = behaviour.value(behaviour.best(attraction[users], open_to, lists.shape[1]), users, attraction, bias)
    popularity = memory.seen.sum(0)
    own = memory.seen[users]
    history = np.divide(own @ popularity, own.sum(1), out=np.full(len(users), np.nan), where=own.any(1))
    minority, new = measures.smallest(world.community, users), world.arrival[users] > 0
    return {
        "utility": float(worth.mean()),
        "regret": float((possible - worth).mean()),
        "click-rate": float(clicked.mean()),
        "coverage": len(np.unique(lists)) / items,
        "gini": measures.gini(lists, items),
        "popularity-lift": measures.popularity_lift(lists, popularity, history),
        "diversity-within": measures.within_users(lists, world.shelf.genre),
        "diversity-between": measures.between_users(lists, items),
        "utility-minorities": float(worth[minority].mean()),
        "utility-new-users": float(worth[new].mean()) if new.any() else float("nan"),
    }


def _estimated(world: World, attraction: Any, shown: behaviour.Shown, clicked: Marks, lists: Ints) -> dict[str, float]:
    """Return three estimates of what the lists would get without exploration, beside the truth."""
    bias = world.options.position_bias
    model = off_policy.click_model(shown, clicked, len(world.born))
    found = {
        "ips": off_policy.inverse_propensity(shown, clicked, lists),
        "snips": off_policy.self_normalised(shown, clicked, lists),
        "dr": off_policy.doubly_robust(shown, clicked, lists, model),
    }
    truth = float(behaviour.value(lists, shown.user, attraction, bias).mean())
    out = {"truth": truth}
    for name, estimate in found.items():
        out[name] = estimate["mean"]
        out[f"{name}-covers"] = float(estimate["low"] <= truth <= estimate["high"])
    return out


def _distance(policy: Policy, histories: Ragged, open_to: Marks, lists: Ints, users: Ints) -> dict[str, float]:
    """Return how far the student's lists are from the teacher's: 1 less the share of items in common."""
    teacher = getattr(policy, "teacher", None)
    if teacher is None:
        return {}
    theirs = behaviour.best(score(teacher, histories).astype(np.float64), open_to, lists.shape[1])
    return {"distance": 1 - agreement(Lists(users, lists), Lists(users, theirs), lists.shape[1])}
