"""``python -m simulations.feedback CONF``: lists, clicks, new answers, new models, against a known truth."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.table import Table

from fedkd.cli.progress import tracked
from fedkd.cli.terminal import going_on, guarded, plain_table, say, show, start
from fedkd.data.sources.synthetic import Synthetic
from fedkd.errors import UserError
from fedkd.feedback.world import World
from fedkd.models.threads import limited_threads
from fedkd.random_streams import stream
from fedkd.report.feedback import CAVEAT, by_iteration, release_text, summary, write_feedback
from fedkd.report.formatting import interval_text
from fedkd.runs.config import Config, load
from simulations.feedback_budget import Books, check_budget
from simulations.feedback_loop import catalogue_of, loop, opened
from simulations.feedback_policies import Centralised, Federated, Oracle, Policy, Popular, Random

OWN, FROZEN = "federated student", "frozen student"


def _federated(config: Config, world: World, books: Books) -> Policy:
    pay = books.payer(config, world.num_users, OWN)
    return Federated(config, catalogue_of(world), world.num_users, pay=pay)


def _frozen(config: Config, world: World, books: Books) -> Policy:
    pay = books.payer(config, world.num_users, FROZEN, updates=False)
    return Federated(config, catalogue_of(world), world.num_users, updates=False, pay=pay)


POLICIES: dict[str, Callable[[Config, World, Books], Policy]] = {
    OWN: _federated,
    FROZEN: _frozen,
    "trained centrally": lambda config, world, books: Centralised(config, catalogue_of(world)),
    "popularity": lambda config, world, books: Popular(),
    "random": lambda config, world, books: Random(stream(world.seed, "random lists")),
    "oracle": lambda config, world, books: Oracle(),
}
"""The run's own policy, and the controls beside it."""

SHOWN = ("utility", "epsilon", "regret", "click-rate", "coverage", "gini")
"""The measures of the table at the terminal, as far as they were taken."""

UNPROTECTED = "Nothing was protected: epsilon is not defined, and clients' answers show their histories."

OUTSIDE = (
    "One release was planned for every iteration ({} in all); the frozen student has the same budget in one release. "
    "Policies without an epsilon are not protected. All that is measured here is the simulation's own knowledge, "
    "outside epsilon."
)


def play(config: Config, folder: Path) -> pd.DataFrame:
    """Play every policy in every world, and return a row for every policy, seed and iteration.

    Parameters
    ----------
    config : Config
        The settings.
    folder : Path
        Where the ledger is written, under protection.
    """
    check(config)
    options, rows, books = config.feedback, [], Books(folder, secrets.token_hex(4))
    assert isinstance(config.data, Synthetic)
    size, seeds = config.data.synthetic, range(config.seed, config.seed + options.seeds)
    worlds = {seed: opened(World.draw(size.users, size.items, options, seed)) for seed in seeds}
    cases = [(seed, name) for seed in seeds for name in POLICIES]
    for seed, name in tracked(cases, len(cases), "worlds and policies"):
        own, (world, memory) = config.model_copy(update={"seed": seed}), worlds[seed]
        with limited_threads(config.runtime.threads):
            found = loop(POLICIES[name](own, world, books), world, memory)
            rows += [{"policy": name, "seed": seed, **measured} for measured in found]
    return pd.DataFrame(rows)


def check(config: Config) -> None:
    """Refuse what the loop cannot play, with a ``UserError``."""
    if not isinstance(config.data, Synthetic):
        raise UserError(
            f"a feedback loop needs the truth about users, which data.source={config.data.source} does not have; set "
            "data.source=synthetic and the size of its world in data.synthetic"
        )
    if config.data.synthetic.items <= 2 * config.feedback.slate:
        raise UserError(
            f"data.synthetic.items is {config.data.synthetic.items}, too few for lists of {config.feedback.slate}; "
            f"set it to more than {2 * config.feedback.slate}, or lower feedback.slate"
        )
    check_budget(config, config.data.synthetic.users)


def table(results: pd.DataFrame) -> Table:
    """Return the last quarter of the iterations as a table for the terminal."""
    names = [name for name in SHOWN if name in results]
    shown = plain_table("policy", numbers=names)
    for policy, measured in summary(results).items():
        shown.add_row(policy, *(interval_text(measured[name], 3) if name in measured else "" for name in names))
    return shown


def releases_table(results: pd.DataFrame) -> Table:
    """Return utility and epsilon of the run's own policy, iteration by iteration."""
    shown = plain_table("iteration", "release", numbers=("utility", "epsilon spent"))
    for row in by_iteration(results, OWN):
        number, spent = f"{row['iteration'].mean:.0f}", f"{row['epsilon'].mean:.3g}"
        shown.add_row(number, release_text(row), interval_text(row["utility"], 3), spent)
    return shown


def promised(config: Config) -> str:
    """Return what was protected, and what was not, in plain sentences."""
    if not config.privacy.mechanism.active:
        return UNPROTECTED
    return f"{config.privacy.statement} {OUTSIDE.format(config.feedback.iterations)}"


@guarded
def main(
    conf: Annotated[Path, typer.Argument(help="The configuration (TOML).")] = Path("simulations/conf/feedback.toml"),
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the file.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the page and the numbers.")] = Path("runs/feedback"),
) -> None:
    """Play the feedback loop, and say what it did to users and catalogue."""
    config = load(conf, overrides or [])
    with going_on(lambda: "the same command begins again"):
        results = play(config, out)
    options = config.feedback
    title = f"{options.iterations} iterations, {options.seeds} world{'' if options.seeds == 1 else 's'}"
    say(f"feedback loop, {title}; mean of the last quarter")
    show(table(results))
    if config.privacy.mechanism.active:
        show(releases_table(results))
    promise = promised(config)
    say(promise, style="yellow")
    say(CAVEAT)
    say(f"report: {write_feedback(results, title, promise, out)}", whole=True)


if __name__ == "__main__":
    start(main)
