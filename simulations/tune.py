"""``python -m simulations.tune CONF``: look for settings whose student passes the gate, on the validation part."""

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tomli_w
import typer
from optuna.trial import FrozenTrial
from rich.table import Table

from fedkd.atomic_file import replace_file
from fedkd.cli.terminal import going_on, guarded, plain_table, say, show, start
from fedkd.errors import UserError
from fedkd.gate.judgement import plain
from fedkd.report import TrialRow, Tuning, write_tuning
from fedkd.runs.config import changed, dump, load
from simulations.compressing import check
from simulations.public_tuning import of_public_users
from simulations.search import Search, space, tune
from simulations.verdicts import ended, frontier, passing

SHOWN = 5
"""Lines of the frontier at the terminal."""


def table(search: Search, trials: Sequence[TrialRow]) -> Table:
    """Return the frontier as a table: of each trial its decision and its values."""
    shown = plain_table("trial", "decision", *(each.text for each in search.config.gate.read), numbers=())
    for trial in trials[:SHOWN]:
        shown.add_row(str(trial.number), trial.decision, *trial.values)
    return shown


def row(trial: FrozenTrial) -> TrialRow:
    """Return a trial for people."""
    told = trial.user_attrs
    if "checks" not in told:
        return TrialRow(trial.number, told["why"], None, settings=settings(trial))
    values = tuple(plain(check["value"]) for check in told["checks"])
    return TrialRow(trial.number, told["decision"], trial.value, values, told["compression"], settings(trial))


def pairs(trial: FrozenTrial) -> dict[str, Any]:
    """Return what a trial changes in the configuration."""
    compression = trial.user_attrs.get("compression")
    return trial.params | ({"gate.compression": [compression]} if compression else {})


def settings(trial: FrozenTrial) -> str:
    """Return a trial's settings as they are given on the command line."""
    return " ".join(f"--set {key}={_short(value)}" for key, value in pairs(trial).items())


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"'{json.dumps(value)}'"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


ENDINGS = {
    "found": "a student passes the gate",
    "impossible": "no setting passes, as far as the search can tell",
    "trials": "no setting passed within the trials",
    "time": "no setting passed within the time",
}


@guarded
def main(
    conf: Annotated[Path, typer.Argument(help="The configuration (TOML), with gate.requirements.")],
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the file.")] = None,
    trials: Annotated[int, typer.Option(help="The most trials.", min=1)] = 40,
    minutes: Annotated[float, typer.Option(help="No trial begins after so many minutes.", min=0)] = math.inf,
    workers: Annotated[int, typer.Option(help="Trials at the same time, each in a process of its own.", min=1)] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the study, its trials and the settings found.")] = Path(
        "runs/tune"
    ),
) -> None:
    """Look for settings whose student passes the gate; the same command goes on where it was stopped."""
    given = load(conf, overrides or [])
    if not given.gate.requirements:
        raise UserError(
            'there is no gate to pass; set gate.requirements, for example to ["ndcg@10 >= 0.95 of teacher"]'
        )
    out = out.absolute()
    private, config = of_public_users(given, out)
    say(private)
    check(config)
    search = Search(config, space(config), trials, time.time() + 60 * minutes, out)
    with going_on(lambda: "the same command goes on where it was"):
        ending = tune(search, workers)
    done = ended(search.study().trials)
    best = passing(done) or frontier(done)
    found = Tuning(
        config.name,
        ENDINGS[ending],
        private,
        tuple(each.text for each in config.gate.read),
        search.confidence,
        tuple(map(row, frontier(done))),
        tuple(map(row, done)),
    )
    say(f"{found.ending}; trials: {len(done)}, each judged at confidence {search.confidence:.4g}")
    if best:
        show(table(search, list(map(row, best))))
    say(f"report: {write_tuning(found, out)}", whole=True)
    if ending != "found":
        for trial in best[:1]:
            say(f"nearest: {settings(trial)}")
        raise typer.Exit(1)
    changes = [f"{key}={json.dumps(value)}" for key, value in pairs(best[0]).items()]
    replace_file(out / "tuned.toml", tomli_w.dumps(dump(changed(given, [*changes, "gate.search=[]"]))).encode())
    say(f"settings: {settings(best[0])}")
    say(f"run it: python -m simulations.run {out / 'tuned.toml'}", whole=True)


if __name__ == "__main__":
    start(main)
