"""``python -m simulations.domains CONF``: what one domain knows, and whether it helps the student of another.

A domain is a group of users, such as the viewers of films and the readers of books, with the items that its users have
had most. For every domain, its users get lists of its items from three students: of all domains together, of this
domain alone (``partition.groups``), and of the others alone. The same users are private in all of them, so that the
differences are paired.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from fedkd.cli.terminal import going_on, guarded, plain_table, say, show, start
from fedkd.data.fold import Fold
from fedkd.data.sources.scene import Scene
from fedkd.deployment.students import student_of_run
from fedkd.errors import UserError
from fedkd.evaluation.evaluator import Interval, PerUser, evaluate, over_seeds
from fedkd.evaluation.metrics import PRIMARY
from fedkd.models.base import Recommender, score
from fedkd.ragged import Ragged
from fedkd.report.formatting import interval_text
from fedkd.report.run import Interval as Shown
from fedkd.runs.config import Config, load
from fedkd.runs.federation import federation
from simulations.sweep import finished, values_of

MEND = (
    "name a column of several groups with data.group-column of a table, or make two domains up with --set "
    "data.source=scene --set data.scene.domains=2"
)
SHARES = "data.scene.shared-users=0,0.02,0.1,0.5"
"""What is compared of a scene where nobody says otherwise."""

AS_GIVEN = "as given"
"""The line of a configuration of which no setting is varied."""

Values = dict[str, NDArray[np.float64]]
"""One number for each user, by what it is."""

OWN, TOGETHER, OTHERS, SHARED = "own domain alone", "all domains", "other domains alone", "shared"
WHO = {"gain": (0.0, 1.0), "gain, shared users": (1.0,), "gain, other users": (0.0,)}
"""The gains that are told, and whether their users are shared ones."""


@dataclass(frozen=True)
class Domain:
    """A domain, and what is measured of it in one run.

    Attributes
    ----------
    name : str
        The group.
    fold : Fold
        Everyone's data, of whose targets its items alone are left.
    users : ndarray of int64
        Its private users.
    items : ndarray of bool, shape [items]
        Its items.
    shared : ndarray of bool, shape [users of the fold]
        Who has items of other domains.
    """

    name: str
    fold: Fold
    users: NDArray[np.int64]
    items: NDArray[np.bool_]
    shared: NDArray[np.bool_]

    def measured(self, student: Recommender) -> PerUser:
        """Return the quality of a student's lists of this domain's items for its users."""

        def scorer(histories: Ragged, users: NDArray[np.int64]) -> NDArray[np.float32]:
            del users
            scores = score(student, histories)
            return np.where(self.items, scores, scores.min() - 1)  # the others come last

        return evaluate(scorer, self.fold, self.users)


@dataclass(frozen=True)
class Answer:
    """Gains of one domain from the others, over seeds.

    Attributes
    ----------
    quality : dict of str to Interval
        The metric with each of the three students.
    gain : dict of str to Interval
        What all domains together have more than this one alone, for everybody, for users who have items of other
        domains, and for those who have none; the last two where there are any.
    """

    quality: dict[str, Interval]
    gain: dict[str, Interval]


def domains(config: Config) -> list[Domain]:
    """Return the domains of a configuration."""
    together = federation(config)
    fold = together.fold
    if fold.train.groups is None:
        raise UserError(f"this source names no group of a user, so there are no domains; {MEND}")
    names, group = np.unique(fold.train.groups, return_inverse=True)
    histories = fold.train.histories
    counts = np.zeros((len(names), fold.train.num_items), np.int64)
    np.add.at(counts, (group[histories.row_index], histories.values), 1)
    home = counts.argmax(0)
    away = home[histories.values] != group[histories.row_index]
    shared = np.bincount(histories.row_index, away, fold.train.num_users) > 0
    private = np.sort(together.private)
    return [
        Domain(
            name=str(name),
            fold=replace(fold, target=fold.target.where(home[fold.target.histories.values] == number)),
            users=private[group[private] == number],
            items=home == number,
            shared=shared,
        )
        for number, name in enumerate(names)
    ]


def names_of(config: Config) -> list[str]:
    """Return the names of the domains, several; a ``UserError`` where there are not."""
    names = [domain.name for domain in domains(config)]
    if len(names) < 2:
        raise UserError(f"there is one domain alone, {names[0]}, and others are needed; {MEND}")
    return names


def answers(config: Config, seeds: int, out: Path) -> dict[str, Answer]:
    """Return what the others give to every domain; runs that are there already are read, and not run again."""
    names = names_of(config)
    values: dict[str, list[Values]] = {name: [] for name in names}
    for seed in range(seeds):
        seeded = config.model_copy(update={"seed": seed})
        student = Students(seeded, names, out)
        for domain in domains(seeded):
            values[domain.name].append(student.values(domain))
    return {name: _answer(found) for name, found in values.items()}


class Students:
    """The students of one seed, each of some domains; every run is made once.

    Parameters
    ----------
    config : Config
        The configuration, with the seed.
    names : list of str
        All domains.
    out : Path
        Folder of the runs.
    """

    def __init__(self, config: Config, names: list[str], out: Path) -> None:
        self.config, self.names, self.out = config, names, out

    def of(self, names: list[str]) -> Recommender:
        """Return the student of some domains."""
        numbers = "-".join(str(self.names.index(name)) for name in names)
        partition = self.config.partition.model_copy(update={"groups": tuple(names)})
        path = self.out / f"domains-{numbers}-seed-{self.config.seed}"
        finished(self.config.model_copy(update={"partition": partition}), path, self.config.seed)
        return student_of_run(path)[2]

    def values(self, domain: Domain) -> Values:
        """Return the metric of a domain's users with every student, and whether they are shared."""
        others = [name for name in self.names if name != domain.name]
        of = {OWN: [domain.name], TOGETHER: self.names, OTHERS: others}
        measured = {key: domain.measured(self.of(names)) for key, names in of.items()}
        values = {key: found.column(PRIMARY) for key, found in measured.items()}
        if not len(values[OWN]):
            raise UserError(
                f"nothing of {domain.name} is held out of its private users' histories (seed {self.config.seed}), so "
                "nothing can be measured of it; give it more users, or lower partition.public-fraction"
            )
        return values | {SHARED: domain.shared[measured[OWN].users].astype(np.float64)}


def _answer(seeds: list[Values]) -> Answer:
    """Return the means over seeds, and those of the paired differences."""
    quality = {key: over_seeds(np.array([own[key].mean() for own in seeds])) for key in (OWN, TOGETHER, OTHERS)}
    gain = {}
    for who, wanted in WHO.items():
        parts = [(own[TOGETHER] - own[OWN])[np.isin(own[SHARED], wanted)] for own in seeds]
        if all(len(part) for part in parts):
            gain[who] = over_seeds(np.array([part.mean() for part in parts]))
    return Answer(quality, gain)


def quality_table(rows: dict[tuple[str, str], Answer], key: str) -> Table:
    """Return the metric of every domain with each of the three students, by the value of a key."""
    shown = plain_table(key, numbers=("domain", OWN, TOGETHER, OTHERS))
    for (value, name), found in rows.items():
        shown.add_row(value, name, *(interval_text(Shown(**found.quality[who])) for who in (OWN, TOGETHER, OTHERS)))
    return shown


def gain_table(rows: dict[tuple[str, str], Answer], key: str) -> Table:
    """Return what all domains together have more than the own one alone, by the value of a key."""
    shown = plain_table(key, numbers=("domain", *WHO))
    for (value, name), found in rows.items():
        shown.add_row(value, name, *(_change(found.gain[who]) if who in found.gain else "" for who in WHO))
    return shown


def _change(found: Interval) -> str:
    return f"{found['mean']:+.4f} ±{found['high'] - found['mean']:.4f}"


def compared(conf: Path, overrides: list[str], over: str | None) -> tuple[str, dict[str, Config]]:
    """Return the name of what is varied, and the configuration of every value."""
    given = ["evaluation.baselines=[]", *overrides]
    plain = load(conf, given)
    names_of(plain)  # whoever has no domains is told so before any key of theirs is
    if over is None and not (isinstance(plain.data, Scene) and plain.data.scene.domains > 1):
        return "setting", {AS_GIVEN: plain}
    key, values = values_of(over or SHARES)
    return key.rpartition(".")[2], {value: load(conf, [*given, f"{key}={value}"]) for value in values}


@guarded
def main(
    conf: Annotated[Path, typer.Argument(help="The configuration (TOML).")] = Path(
        "simulations/conf/scene-cross-domain.toml"
    ),
    over: Annotated[
        str | None,
        typer.Option(help=f"KEY=VALUE,VALUE,...: one line for each value of this key; of a scene {SHARES}."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ... of every value.", min=2)] = 3,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the file.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs/domains"),
) -> None:
    """Print what the other domains give to the student of each, measured on its own users and items."""
    name, configs = compared(conf, overrides or [], over)
    rows: dict[tuple[str, str], Answer] = {}
    with going_on(lambda: "the same command goes on where it was"):
        for value, config in configs.items():
            found = answers(config, seeds, out.absolute() / f"{name}-{value}".replace(" ", "-"))
            rows |= {(value, domain): one for domain, one in found.items()}
    say(f"{PRIMARY} of lists of a domain's own items, {next(iter(configs.values())).evaluation.target} part")
    show(quality_table(rows, name))
    say("\nall domains over the own domain alone, paired over users:")
    show(gain_table(rows, name))
    say("± is half a 95 % interval, Student's t over seeds")


if __name__ == "__main__":
    start(main)
