"""``python -m simulations.sweep``: what privacy costs in quality, as a curve over epsilon with intervals."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from fedkd.config import Config, load
from fedkd.errors import UserError
from fedkd.evaluation.evaluator import over_seeds
from fedkd.runs import RunFolder
from fedkd.terminal import guarded
from simulations.run import run

METRIC = "ndcg@20"
MODELS = ("teacher", "student", "public-teacher", "public-student", "ease")
BASELINES = 'evaluation.baselines=["ease","public-teacher","public-student"]'


@dataclass(frozen=True)
class Point:
    """What one model reached at one epsilon.

    Attributes
    ----------
    epsilon : float
        The planned total; infinite without protection.
    model : str
        Name of the model.
    mean, low, high : float
        NDCG@20 over the seeds, with Student's 95 % interval.
    means : tuple of float
        That of every seed.
    """

    epsilon: float
    model: str
    mean: float
    low: float
    high: float
    means: tuple[float, ...]


def sweep(
    conf: Path, overrides: Sequence[str], epsilons: Sequence[float], seeds: int, mode: str, out: Path
) -> list[Point]:
    """Run a configuration at every epsilon and seed, each in its own folder, and return the curve.

    Folders of finished runs are read and not run again, so an interrupted sweep continues.
    """
    points, overrides = [], [BASELINES, *overrides]
    for epsilon in epsilons:
        scores: dict[str, list[float]] = {name: [] for name in MODELS}
        for seed in range(seeds):
            models = _models(
                conf, [*overrides, *_privacy(epsilon, mode, overrides), f"seed={seed}"], out, epsilon, seed
            )
            for name in scores.keys() & models.keys():
                scores[name].append(models[name][METRIC]["mean"])
        for name, values in scores.items():
            if values:
                points.append(Point(epsilon, name, **over_seeds(np.array(values)), means=tuple(values)))
    return points


def _privacy(epsilon: float, mode: str, overrides: Sequence[str]) -> list[str]:
    if math.isinf(epsilon):
        return ["privacy.mode=none"]
    delta = [] if any(given.startswith("privacy.delta=") for given in overrides) else ["privacy.delta=1e-5"]
    return [f"privacy.mode={mode}", f"privacy.epsilon={epsilon}", *delta]


def _models(
    conf: Path, settings: Sequence[str], out: Path, epsilon: float, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    path = (out / f"epsilon-{epsilon:g}-seed-{seed}").absolute()
    config: Config = load(conf, [*settings, f"runtime.run-folder={json.dumps(str(path))}"])
    folder = RunFolder.open(path) if (path / "config.toml").exists() else RunFolder.create(path, config)
    summary = folder.read_json("summary.json") if (path / "summary.json").exists() else run(config, folder)
    models: dict[str, dict[str, dict[str, float]]] = summary["models"]
    return {name: row for name, row in models.items() if METRIC in row}


def regret(points: Sequence[Point], epsilon: float) -> float:
    """Return the mean loss of serving the private student, whatever epsilon is, where the public-only one is better.

    The rule is fixed beforehand: what the private run ends in is a posterior whose prior is the public users' model,
    and falls back to it as the noise grows, so it is served at every epsilon.
    """
    by_name = {point.model: point.means for point in points if point.epsilon == epsilon}
    if not {"student", "public-student"} <= by_name.keys():
        return math.nan
    return float(np.mean(np.maximum(0, np.subtract(by_name["public-student"], by_name["student"]))))


def table(points: Sequence[Point], mode: str, delta: str) -> Table:
    """Return the curve as a table for the terminal."""
    shown = Table(title=f"NDCG@20, mode {mode}, delta {delta}, add/remove, no amplification", title_justify="left")
    shown.add_column("epsilon", justify="right", no_wrap=True)
    names = [name for name in MODELS if any(point.model == name for point in points)]
    for name in names:
        shown.add_column(name.replace("-", " "), justify="right")
    shown.add_column("regret", justify="right")
    for epsilon in dict.fromkeys(point.epsilon for point in points):
        row = {point.model: point for point in points if point.epsilon == epsilon}
        cells = [f"{row[n].mean:.4f} ±{(row[n].high - row[n].low) / 2:.4f}" if n in row else "" for n in names]
        shown.add_row("none" if math.isinf(epsilon) else f"{epsilon:g}", *cells, f"{regret(points, epsilon):.4f}")
    return shown


def draw(points: Sequence[Point], path: Path) -> None:
    """Draw teacher and student against epsilon, with the models that need no private data or all of it as lines."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in ("teacher", "student"):
        own = [point for point in points if point.model == name and math.isfinite(point.epsilon)]
        middle = [point.mean for point in own]
        error = [[p.mean - p.low for p in own], [p.high - p.mean for p in own]]
        axes.errorbar([point.epsilon for point in own], middle, yerr=error, marker="o", capsize=3, label=name)
    for name, style in (("public-teacher", ":"), ("ease", "--")):
        level = [point.mean for point in points if point.model == name]
        if level:
            axes.axhline(float(np.mean(level)), linestyle=style, color="0.4", label=f"{name}, no noise")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("epsilon, total of the run")
    axes.set_ylabel("NDCG@20, private users")
    axes.legend(frameon=False)
    figure.savefig(path)


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
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ... of every budget.", min=1)] = 3,
    mode: Annotated[str, typer.Option(help="central, distributed or local.")] = "central",
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the file.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs, the table and the picture.")] = Path("runs/sweep"),
) -> None:
    """Print, draw and save quality against epsilon."""
    points = sweep(conf, overrides or [], _numbers(epsilons), seeds, mode, out)
    (out / "sweep.json").write_text(json.dumps([asdict(point) for point in points], indent=1) + "\n", encoding="utf-8")
    draw(points, out / "sweep.svg")
    delta = next((given.partition("=")[2] for given in overrides or [] if given.startswith("privacy.delta=")), "1e-5")
    console = Console()
    console.print(table(points, mode, delta))
    console.print(f"curve: {out / 'sweep.svg'}", soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
