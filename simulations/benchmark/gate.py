"""The rate at which a gate passes students whose true quality is exactly on the border."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from fedkd.cli.terminal import guarded, plain_table, say, show
from fedkd.gate.judgement import Decision, judge
from fedkd.gate.requirements import STUDENT, requirement

TEACHER, METRIC = "teacher", "hr@10"
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """Users of a student, and of its teacher, whose true quality is known: evidence of `fedkd.gate.judgement`."""

    values: dict[str, Values]

    def per_user(self, model: str, metric: str, part: str) -> Values | None:
        """Return a model's values, whatever the metric and the slice."""
        del metric, part
        return self.values.get(model)

    def fact(self, model: str, quantity: str) -> None:
        """Return nothing: there are no numbers but those of users."""
        del model, quantity


def hits(rng: np.random.Generator, users: int, share: float) -> Values:
    """Return lists that hit for a share of the users."""
    return (rng.random(users) < share).astype(float)


def ranks(rng: np.random.Generator, users: int) -> Values:
    """Return values like NDCG, whose mean is 0.225: nothing for two users of five, and a skewed value for the rest."""
    return np.where(rng.random(users) < 0.4, 0.0, rng.beta(1.2, 2.0, users))


def alone(quality: float) -> Callable[[np.random.Generator, int], Drawn]:
    """Return students that hit for a share of their users."""
    return lambda rng, users: Drawn({STUDENT: hits(rng, users, quality)})


def ranked(rng: np.random.Generator, users: int) -> Drawn:
    """Return students with values like NDCG."""
    return Drawn({STUDENT: ranks(rng, users)})


def apart(share: float) -> Callable[[np.random.Generator, int], Drawn]:
    """Return students that hit independently of their teacher, for a share of as many users."""
    return lambda rng, users: Drawn({TEACHER: hits(rng, users, 0.3), STUDENT: hits(rng, users, 0.3 * share)})


def losing(share: float) -> Callable[[np.random.Generator, int], Drawn]:
    """Return students that hit where their teacher does, but for a few users."""

    def draw(rng: np.random.Generator, users: int) -> Drawn:
        teacher = hits(rng, users, 0.8)
        return Drawn({TEACHER: teacher, STUDENT: teacher * hits(rng, users, share)})

    return draw


def shaken(share: float) -> Callable[[np.random.Generator, int], Drawn]:
    """Return students whose lists are a little better or worse than the teacher's for half of the users."""

    def draw(rng: np.random.Generator, users: int) -> Drawn:
        teacher = ranks(rng, users)
        factor = share + 0.25 * rng.choice([-1.0, 1.0], users) * hits(rng, users, 0.5)
        return Drawn({TEACHER: teacher, STUDENT: teacher * factor})

    return draw


BORDER: dict[str, tuple[str, Callable[[np.random.Generator, int], Drawn]]] = {
    **{f"hits, {q:.0%} of users": (f"hr@10 >= {q}", alone(q)) for q in (0.05, 0.3, 0.7, 0.9, 0.95)},
    **{f"hits, {q:.0%} at most": (f"hr@10 <= {q}", alone(q)) for q in (0.05, 0.3, 0.7)},
    "like NDCG": ("hr@10 >= 0.225", ranked),
    "like NDCG, at most": ("hr@10 <= 0.225", ranked),
    **{f"{q:.1%} of teacher, apart": (f"hr@10 >= {q} of teacher", apart(q)) for q in (0.8, 0.98, 1.0)},
    **{f"{q:.1%}, rare losses": (f"hr@10 >= {q} of teacher", losing(q)) for q in (0.8, 0.98, 0.995)},
    **{f"{q:.1%}, small changes": (f"hr@10 >= {q} of teacher", shaken(q)) for q in (0.9, 0.98)},
}
"""Requirements with students that are exactly at them, the hardest case."""


def decisions(name: str, users: int, times: int, rng: np.random.Generator) -> dict[Decision, float]:
    """Return how often every decision is made about one of ``BORDER``."""
    text, draw = BORDER[name]
    wanted = [requirement(text)]
    found = [judge(wanted, draw(rng, users), 0.95)[0].decision for _ in range(times)]
    return {each: found.count(each) / times for each in Decision}


@guarded
def main(
    times: Annotated[int, typer.Option(help="Decisions about every student and number of users.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
) -> None:
    """Decide about students exactly at a requirement, and show how often they pass: 5 % at most is promised."""
    rng, sizes, worst = np.random.default_rng(seed), (60, 250, 850), 0.0
    table = plain_table("called met, at the border", numbers=[f"{users} users" for users in sizes])
    for name in BORDER:
        met = [decisions(name, users, times, rng)[Decision.MET] for users in sizes]
        worst = max(worst, *met)
        table.add_row(name, *(f"{share:.1%}" for share in met))
    show(table)
    say(f"highest: {worst:.2%} of {times:,} decisions are a wrong met, at confidence 95 %")
