"""``python -m simulations.tune CONF``: look for settings whose student passes the gate, on the validation part."""

import json
import math
import time
from pathlib import Path
from typing import Annotated, Any

import tomli_w
import typer
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from fedkd.atomic_file import replace_file
from fedkd.cli.terminal import going_on, guarded, plain_table, say, show, start
from fedkd.errors import UserError
from fedkd.gate.judgement import plain
from fedkd.runs.config import changed, dump, load
from simulations.public_tuning import of_public_users
from simulations.search import Search, frontier, passing, space, tune

SHOWN = 5
"""Lines of the frontier."""


def table(search: Search, trials: list[FrozenTrial]) -> Table:
    """Return the frontier as a table: of each trial its decision, its values and its settings."""
    wanted = [each.text for each in search.config.gate.read]
    shown = plain_table("trial", "decision", *wanted, numbers=())
    for trial in trials[:SHOWN]:
        values = [plain(check["value"]) for check in trial.user_attrs["checks"]]
        shown.add_row(str(trial.number), trial.user_attrs["decision"], *values)
    return shown


def settings(trial: FrozenTrial) -> str:
    """Return a trial's settings as they are given on the command line."""
    return " ".join(f"--set {key}={_short(value)}" for key, value in trial.params.items())


def _short(value: Any) -> str:
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
    search = Search(config, space(config), trials, time.time() + 60 * minutes, out)
    with going_on(lambda: "the same command goes on where it was"):
        ended = tune(search, workers)
    done = [trial for trial in search.study().trials if trial.state is TrialState.COMPLETE]
    say(f"{ENDINGS[ended]}; trials: {len(done)}, each judged at confidence {search.confidence:.4g}")
    best = passing(done) or frontier(done)
    if best:
        show(table(search, best))
    if ended != "found":
        for trial in best[:1]:
            say(f"nearest: {settings(trial)}")
        raise typer.Exit(1)
    pairs = [f"{key}={json.dumps(value)}" for key, value in best[0].params.items()]
    replace_file(out / "tuned.toml", tomli_w.dumps(dump(changed(given, [*pairs, "gate.search=[]"]))).encode())
    say(f"settings: {settings(best[0])}")
    say(f"run it: python -m simulations.run {out / 'tuned.toml'}", whole=True)


if __name__ == "__main__":
    start(main)
