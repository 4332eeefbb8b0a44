"""``python -m simulations.feedback CONF``: lists, clicks, new answers, new models, against a known truth."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.table import Table
from threadpoolctl import threadpool_limits

from fedkd.cli.progress import tracked
from fedkd.cli.terminal import going_on, guarded, plain_table, say, show, start
from fedkd.data.sources.synthetic import Synthetic
from fedkd.errors import UserError
from fedkd.feedback.world import World
from fedkd.random_streams import stream
from fedkd.report.feedback import CAVEAT, summary, write_feedback
from fedkd.report.formatting import interval_text
from fedkd.runs.config import Config, load
from simulations.feedback_loop import (
    Centralised,
    Federated,
    Oracle,
    Policy,
    Popular,
    Random,
    catalogue_of,
    loop,
    opened,
)

POLICIES: dict[str, Callable[[Config, World], Policy]] = {
    "federated student": lambda config, world: Federated(config, catalogue_of(world), world.num_users),
    "frozen student": lambda config, world: Federated(config, catalogue_of(world), world.num_users, updates=False),
    "trained centrally": lambda config, world: Centralised(config, catalogue_of(world)),
    "popularity": lambda config, world: Popular(),
    "random": lambda config, world: Random(stream(world.seed, "random lists")),
    "oracle": lambda config, world: Oracle(),
}
"""The run's own policy, and the controls beside it."""

SHOWN = ("utility", "regret", "click-rate", "coverage", "gini")
"""The measures of the table at the terminal."""


def play(config: Config) -> pd.DataFrame:
    """Play every policy in every world, and return a row for every policy, seed and iteration."""
    check(config)
    options, rows = config.feedback, []
    assert isinstance(config.data, Synthetic)
    size, seeds = config.data.synthetic, range(config.seed, config.seed + options.seeds)
    worlds = {seed: opened(World.draw(size.users, size.items, options, seed)) for seed in seeds}
    cases = [(seed, name) for seed in seeds for name in POLICIES]
    for seed, name in tracked(cases, len(cases), "worlds and policies"):
        own, (world, memory) = config.model_copy(update={"seed": seed}), worlds[seed]
        with threadpool_limits(config.runtime.threads):
            found = loop(POLICIES[name](own, world), world, memory)
            rows += [{"policy": name, "seed": seed, **measured} for measured in found]
    return pd.DataFrame(rows)


def check(config: Config) -> None:
    """Refuse what the loop cannot play, with a ``UserError``."""
    if not isinstance(config.data, Synthetic):
        raise UserError(
            f"a feedback loop needs the truth about users, which data.source={config.data.source} does not have; set "
            "data.source=synthetic and the size of its world in data.synthetic"
        )
    if config.privacy.mechanism.active:
        raise UserError(
            "clients answer again in every iteration, and each answer would be one more noised release; the loop plays "
            "without protection: set privacy.mode=none"
        )
    if config.data.synthetic.items <= 2 * config.feedback.slate:
        raise UserError(
            f"data.synthetic.items is {config.data.synthetic.items}, too few for lists of {config.feedback.slate}; "
            f"set it to more than {2 * config.feedback.slate}, or lower feedback.slate"
        )


def table(results: pd.DataFrame) -> Table:
    """Return the last quarter of the iterations as a table for the terminal."""
    shown = plain_table("policy", numbers=SHOWN)
    for policy, measured in summary(results).items():
        shown.add_row(policy, *(interval_text(measured[name], 3) for name in SHOWN))
    return shown


@guarded
def main(
    conf: Annotated[Path, typer.Argument(help="The configuration (TOML).")] = Path("simulations/conf/feedback.toml"),
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the file.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the page and the numbers.")] = Path("runs/feedback"),
) -> None:
    """Play the feedback loop, and say what it did to users and catalogue."""
    config = load(conf, overrides or [])
    with going_on(lambda: "the same command begins again"):
        results = play(config)
    options = config.feedback
    title = f"{options.iterations} iterations, {options.seeds} world{'' if options.seeds == 1 else 's'}"
    say(f"feedback loop, {title}; mean of the last quarter")
    show(table(results))
    say("Nothing was protected: epsilon is not defined, and clients' answers show their histories.", style="yellow")
    say(CAVEAT)
    say(f"report: {write_feedback(results, title, out)}", whole=True)


if __name__ == "__main__":
    start(main)
