"""``python -m simulations.sweep``: quality as a curve with intervals, over epsilon or over any other setting."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from fedkd.cli.terminal import going_on, guarded, plain_table, say, show, start
from fedkd.errors import UserError
from fedkd.evaluation.rows import BASELINES, ROWS
from fedkd.report.curve import Curve, curve, regret, write_curve
from fedkd.report.formatting import epsilon_text, interval_text
from fedkd.report.key_curve import SHOWN, KeyCurve, key_curve, write_key_curve
from fedkd.report.run import Run
from fedkd.runs.config import Config, dump, load, validate
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from simulations.run import run

SWEPT = [row.name for row in ROWS if row.swept and row.name in BASELINES]
"""The baselines of every run of a sweep, as far as they can be made."""

COMPARED = [name for name in SHOWN if name in BASELINES]
"""The baselines of every run of a curve over another setting."""

OWN = {"privacy.mode": "--mode", "privacy.epsilon": "--epsilons", "privacy.delta": "--delta", "seed": "--seeds"}
"""Keys that the sweep sets itself, and the options that choose their values."""
BUDGET = ("mode", "epsilon", "delta", "epsilon-limit", "adaptive", "panel-share", "metrics-share")
"""Keys of [privacy] that have no meaning without protection."""


def sweep(budgets: Mapping[float, Config], seeds: int, out: Path) -> Curve:
    """Run a configuration for every epsilon and seed, each in its own folder, and return the curve.

    Folders of finished runs are read and not run again, so an interrupted sweep continues.

    Raises
    ------
    UserError
        A folder holds a run of another configuration.
    """
    runs = {
        epsilon: [finished(config, out / f"epsilon-{epsilon:g}-seed-{seed}", seed) for seed in range(seeds)]
        for epsilon, config in budgets.items()
    }
    return curve(runs)


def sweep_key(key: str, configs: Mapping[str, Config], seeds: int, out: Path) -> KeyCurve:
    """Run the configuration of every value of a setting, for every seed, as ``sweep`` does, and return the curve."""
    name = key.rpartition(".")[2]
    runs = {
        value: [finished(config, out / f"{name}-{value}-seed-{seed}", seed) for seed in range(seeds)]
        for value, config in configs.items()
    }
    return key_curve(key, runs)


def keyed(conf: Path, overrides: Sequence[str], key: str, value: str) -> Config:
    """Return the configuration with one value of a setting, and the baselines of a curve that it can have."""
    if key in ("seed", "evaluation.baselines"):
        raise UserError(f"--over {key} is no setting of a curve; name another key, for example algorithm.rank")
    given = [*overrides, f"{key}={value}"]
    plain = load(conf, ["evaluation.baselines=[]", *given])
    baselines = [name for name in COMPARED if not plain.unmakeable(name)]
    return load(conf, [f"evaluation.baselines={json.dumps(baselines)}", *given])


def budgeted(conf: Path, overrides: Sequence[str], mode: str, epsilon: float, delta: float) -> Config:
    """Return the configuration at one epsilon; an infinite epsilon means mode none, without any key of a budget."""
    for given in overrides:
        if (key := given.partition("=")[0]) in OWN:
            raise UserError(f"the sweep sets {key} itself; say it with {OWN[key]} and not with --set")
    finite = 1.0 if math.isinf(epsilon) else epsilon
    own = [f"privacy.mode={mode}", f"privacy.epsilon={finite!r}", f"privacy.delta={delta!r}"]
    plain = load(conf, ["evaluation.baselines=[]", *overrides, *own])
    baselines = [name for name in SWEPT if not plain.unmakeable(name)]
    protected = load(conf, [f"evaluation.baselines={json.dumps(baselines)}", *overrides, *own])
    if math.isfinite(epsilon):
        return protected
    tree = dump(protected)
    kept = {key: value for key, value in tree["privacy"].items() if key not in BUDGET}
    return validate({**tree, "privacy": kept})


def finished(config: Config, path: Path, seed: int) -> Run:
    """Return the finished run of a seed, which is made unless its folder exists; see ``sweep``."""
    path = path.absolute()
    runtime = config.runtime.model_copy(update={"run_folder": path})
    config = config.model_copy(update={"seed": seed, "runtime": runtime})
    folder = _folder(config, path)
    if not _whole(folder) and (failed := run(config, folder)["failed"]):
        raise UserError(f"{path}: {'; '.join(f'{name} has no number: {why}' for name, why in failed.items())}")
    return Run.read(path)


def _folder(config: Config, path: Path) -> RunFolder:
    folder = RunFolder(path)
    if not (path / "config.toml").exists():
        federation(config).setup(config)  # mistakes in data or budget are reported before anything is run
    folder.check(config)
    return folder


def _whole(folder: RunFolder) -> bool:
    """Return true where a simulation has added to the server's summary the measurements that it alone can make."""
    return folder.finished and "seconds" in folder.read_json("summary.json")


def table(found: Curve) -> Table:
    """Return the curve as a table for the terminal."""
    shown = plain_table("epsilon", numbers=("regret", *found.models))
    for epsilon, row in found.rows.items():
        cells = [interval_text(row[n].interval) if n in row else "" for n in found.models]
        lost = regret(found, epsilon)
        shown.add_row(epsilon_text(epsilon), "" if math.isnan(lost) else f"{lost:.4f}", *cells)
    return shown


KEY = (
    "± is half a 95 % interval, Student's t over seeds; regret is what serving the student loses, mean over seeds, "
    "where the public student is better."
)
"""The meaning of the table's signs and words."""


def key_table(found: KeyCurve) -> Table:
    """Return a curve over a setting as a table for the terminal."""
    shown = plain_table(found.key.rpartition(".")[2], numbers=(*found.models, "parameters", "bytes up"))
    for point in found.points:
        cells = [interval_text(point.quality[name]) if name in point.quality else "" for name in found.models]
        shown.add_row(point.value, *cells, *point.counts)
    return shown


def values_of(text: str) -> tuple[str, list[str]]:
    """Return key and values of ``--over``."""
    key, equals, values = text.partition("=")
    found = [value.strip() for value in values.split(",")]
    if not key or not equals or not all(found) or len(set(found)) < len(found):
        raise UserError(f"--over takes a key and its values, for example algorithm.rank=8,16,32; it got {text!r}")
    return key, found


def _numbers(text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--epsilons takes numbers and inf, for example 1,4,inf; it got {text!r}") from None
    if any(math.isnan(value) or value <= 0 for value in values):
        raise UserError(f"every epsilon must be positive; --epsilons got {text}")
    return values


@guarded
def main(
    conf: Annotated[Path, typer.Argument(help="The configuration (TOML).")] = Path("simulations/conf/quickstart.toml"),
    epsilons: Annotated[
        str, typer.Option(help="Budgets, separated by commas; inf is no protection.")
    ] = "0.5,1,2,4,8,inf",
    delta: Annotated[float, typer.Option(help="The delta of every budget.")] = 1e-5,
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ... of every budget.", min=1)] = 3,
    mode: Annotated[str, typer.Option(help="central, distributed, local, or package.module:Class.")] = "central",
    over: Annotated[str | None, typer.Option(help="KEY=VALUE,VALUE,...: a curve over this key, not epsilon.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the file.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs, the table, the picture and the page.")] = Path(
        "runs/sweep"
    ),
) -> None:
    """Print, draw and save quality against epsilon, or against another setting."""
    if over is not None:
        _main_over(conf, overrides or [], over, seeds, out)
        return
    budgets = {epsilon: budgeted(conf, overrides or [], mode, epsilon, delta) for epsilon in _numbers(epsilons)}
    with going_on(lambda: "the same command goes on where it was"):
        found = sweep(budgets, seeds, out)
    say(f"NDCG@20 against epsilon: {found.promise}")
    show(table(found))
    for name, value in found.setting.items():
        say(f"{name}: {value}")
    say(KEY)
    say(f"curve: {write_curve(found, out)}", whole=True)


def _main_over(conf: Path, overrides: Sequence[str], over: str, seeds: int, out: Path) -> None:
    key, values = values_of(over)
    configs = {value: keyed(conf, overrides, key, value) for value in values}
    with going_on(lambda: "the same command goes on where it was"):
        found = sweep_key(key, configs, seeds, out)
    say(f"NDCG@20 against {key}")
    show(key_table(found))
    for name, told in found.setting.items():
        say(f"{name}: {told}")
    say("± is half a 95 % interval, Student's t over seeds")
    say(f"curve: {write_key_curve(found, out)}", whole=True)


if __name__ == "__main__":
    start(main)
