"""The feedback loop of one policy in one world: show, click, answer again, teach, and measure against the truth."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fedkd.data.catalogue import Catalogue
from fedkd.data.sources.synthetic_content import describe
from fedkd.evaluation.beyond import agreement
from fedkd.evaluation.evaluator import Lists
from fedkd.feedback import behaviour, measures, off_policy
from fedkd.feedback.memory import Memory
from fedkd.feedback.world import Ints, Marks, World
from fedkd.models.base import score
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from simulations.feedback_policies import Federated, Policy

OPENING = 20
"""Iterations of own finds alone before the first list."""


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
            **(_told(policy, histories, open_to, lists, users) if isinstance(policy, Federated) else {}),
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


def _told(policy: Federated, histories: Ragged, open_to: Marks, lists: Ints, users: Ints) -> dict[str, float]:
    """Return costs, and how far the student's lists are from the teacher's: 1 less the share of items in common."""
    teacher = policy.teacher
    if teacher is None:
        return policy.costs
    theirs = behaviour.best(score(teacher, histories).astype(np.float64), open_to, lists.shape[1])
    return policy.costs | {"distance": 1 - agreement(Lists(users, lists), Lists(users, theirs), lists.shape[1])}
