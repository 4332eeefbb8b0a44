"""``python -m simulations.scenes``: what distillation and federation bring in every scene, and where they do not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from fedkd.cli.terminal import going_on, guarded, plain_table, say, show, start
from fedkd.errors import UserError
from fedkd.evaluation.metrics import PRIMARY
from fedkd.evaluation.rows import EASE
from fedkd.report.differences import Measured, difference
from fedkd.report.formatting import difference_text, interval_text, share_text
from fedkd.report.run import Interval, Run
from fedkd.report.seeds import joined
from fedkd.runs.config import load
from simulations.sweep import finished

CONFIGURATIONS = Path(__file__).with_name("conf")
BESIDE = {"undistilled": "undistilled", "tuned": "tuned", "fedavg": "FedAvg", "local-only": "local only"}
"""The ways to have the student without distillation or without federation, and words for a column."""

Scenes = dict[str, list[Run]]
"""The runs of every scene, one for each seed."""


def scenes(names: Sequence[str], overrides: Sequence[str], seeds: int, out: Path) -> Scenes:
    """Return the runs of scenes; those that are there already are read, and not run again."""
    configs = {name: load(CONFIGURATIONS / f"scene-{name}.toml", overrides) for name in names}
    found: Scenes = {name: [] for name in names}
    for seed in range(seeds):
        for name, config in configs.items():
            found[name].append(finished(config, out / f"{name}-seed-{seed}", seed))
    return found


def quality_table(found: Scenes) -> Table:
    """Return the primary metric of the student, without distillation, and by FedAvg."""
    shown = plain_table("scene", numbers=("student", "of EASE", "undistilled", "FedAvg"))
    for name, runs in found.items():
        cells = [_quality(runs, model) for model in ("student", "undistilled", "fedavg")]
        shares = joined([run.ratio("student", EASE, PRIMARY) for run in runs])
        shown.add_row(name, cells[0], _text(shares and share_text(shares)), *cells[1:])
    return shown


def gain_table(found: Scenes) -> Table:
    """Return what the student has more than each of the other ways, paired over seeds, and where that is nothing."""
    shown = plain_table("scene", numbers=tuple(f"over {words}" for words in BESIDE.values()))
    for name, runs in found.items():
        gains = [difference(Measured("student", runs), Measured(model, runs), PRIMARY) for model in BESIDE]
        shown.add_row(name, *(_text(gain and difference_text(gain)) for gain in gains))
    return shown


def does_not_pay(found: Scenes) -> list[str]:
    """Return a sentence for every scene and way beside which the student shows no gain."""
    return [
        f"{name}: no gain over {words} is shown"
        for name, runs in found.items()
        for model, words in BESIDE.items()
        if (gain := difference(Measured("student", runs), Measured(model, runs), PRIMARY)) and gain.low <= 0
    ]


def _quality(runs: Sequence[Run], model: str) -> str:
    value: Interval | None = joined([run.interval(model, PRIMARY) for run in runs])
    return _text(value and interval_text(value))


def _text(found: str | None) -> str:
    return found or ""


def _chosen(names: Sequence[str]) -> Sequence[str]:
    if unknown := [name for name in names if name not in _all()]:
        raise UserError(f"there is no scene {', '.join(unknown)}; there are {', '.join(_all())}")
    return names or _all()


def _all() -> list[str]:
    return sorted(path.stem.removeprefix("scene-") for path in CONFIGURATIONS.glob("scene-*.toml"))


@guarded
def main(
    names: Annotated[list[str] | None, typer.Argument(help="Scenes, such as shop and news; all of them.")] = None,
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ... of every scene.", min=2)] = 3,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the files.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs/scenes"),
) -> None:
    """Run the scenes, and print what distillation and federation bring in each."""
    with going_on(lambda: "the same command goes on where it was"):
        found = scenes(_chosen(names or []), overrides or [], seeds, out)
    say(PRIMARY)
    show(quality_table(found))
    say("\nwhat the student has more, paired over seeds:")
    show(gain_table(found))
    for sentence in does_not_pay(found):
        say(sentence)
    say("± is half a 95 % interval, Student's t over seeds")


if __name__ == "__main__":
    start(main)
