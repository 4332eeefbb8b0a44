"""Several runs beside each other: those that differ in their seed alone become one row with an interval over seeds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedkd.errors import UserError
from fedkd.evaluation.evaluator import over_seeds
from fedkd.evaluation.metrics import METRICS
from fedkd.evaluation.rows import ROWS, report_order
from fedkd.report.formatting import conditions
from fedkd.report.page import templates
from fedkd.report.run import Interval, Run


@dataclass(frozen=True)
class ComparisonRow:
    """One model of one configuration.

    Attributes
    ----------
    configuration : str
        What the configuration is called; empty for models that do not depend on it.
    model : str
        The model's name in ``summary.json``.
    seeds : tuple of int
        The seeds of the runs behind it.
    metrics : dict of str to Interval
        Over users for one seed, over seeds (Student's t) for several.
    parameters : int or None
        Of the model.
    bytes_up, bytes_down : float or None
        What a client sent and received over the whole run, for models that a federation trained.
    privacy : str
        What the configuration promises; empty for models that do not depend on it.
    """

    configuration: str
    model: str
    seeds: tuple[int, ...]
    metrics: dict[str, Interval]
    parameters: int | None
    bytes_up: float | None
    bytes_down: float | None
    privacy: str


def compare(folders: Sequence[Path], allow_different: bool = False) -> list[ComparisonRow]:
    """Return the table of several runs.

    Runs belong together when their configurations differ in seed, name and runtime alone.

    Parameters
    ----------
    folders : sequence of Path
        Folders of finished runs.
    allow_different : bool
        Compare runs on different data or splits all the same.

    Raises
    ------
    UserError
        No folder, an unfinished run, or runs whose numbers cannot be compared: other data, another kind or part of a
        split, or, for equal seeds, another assignment.
    """
    if not folders:
        raise UserError("there is nothing to compare; give the folders of one or more finished runs")
    runs = [Run.read(folder) for folder in folders]
    if not allow_different:
        for other in runs[1:]:
            _check(runs[0], other)
        _check_assignments(runs)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_identity(run), []).append(run)
    return _rows(_named(list(groups.values())))


def render_comparison(rows: Sequence[ComparisonRow], path: Path) -> Path:
    """Write a comparison as one offline HTML file, and return its path."""
    best = {
        metric: max((row.metrics[metric].mean for row in rows if metric in row.metrics), default=0.0)
        for metric in METRICS
    }
    page = (
        templates()
        .get_template("comparison.html.j2")
        .render(rows=rows, metrics=METRICS, best=best, promises=promises(rows))
    )
    path.write_text(page, encoding="utf-8")
    return path


def _check(first: Run, other: Run) -> None:
    """Refuse runs on other data or another kind of split."""
    asked = {"data": ("fingerprint",), "split": ("kind", "target")}
    for part, names in asked.items():
        for name in names:
            one, two = first.part(part).get(name), other.part(part).get(name)
            if one != two:
                raise UserError(
                    f"{first.path} and {other.path} cannot be compared: {part}.{name} is {one} in one and {two} in the "
                    "other; compare runs on the same data and split, or say that they may differ (--allow-different)"
                )


def _check_assignments(runs: Sequence[Run]) -> None:
    """Refuse runs with equal seeds and unequal splits; other seeds may deal the same data differently."""
    first: dict[Any, Run] = {}
    for run in runs:
        known = first.setdefault(run.summary.get("seed"), run)
        if known.part("split").get("fingerprint") != run.part("split").get("fingerprint"):
            raise UserError(
                f"{known.path} and {run.path} have the same seed and different splits (split.fingerprint); "
                "repeat one of them, or say that splits may differ (--allow-different)"
            )


def _identity(run: Run) -> str:
    kept = {key: value for key, value in run.config.items() if key not in ("seed", "name", "runtime")}
    return json.dumps(kept, sort_keys=True, default=str)


def _named(groups: Sequence[list[Run]]) -> dict[str, list[Run]]:
    """Name every group after its run, and after its folder too where that is not unique."""
    names = [str(group[0].summary.get("name", group[0].path.name)) for group in groups]
    unique = [
        name if names.count(name) == 1 else f"{name} ({group[0].path.name})"
        for name, group in zip(names, groups, strict=True)
    ]
    return dict(zip(unique, groups, strict=True))


def _rows(groups: Mapping[str, list[Run]]) -> list[ComparisonRow]:
    """Return the rows of every group, model by model, then the models that do not depend on the group."""
    own: list[ComparisonRow] = []
    independent = {row.name for row in ROWS if row.independent}
    shared: dict[str, ComparisonRow] = {}
    for name, runs in groups.items():
        for model in dict.fromkeys(model for run in runs for model in run.models):
            if model in independent:
                shared.setdefault(model, _row("", model, runs))
            else:
                own.append(_row(name, model, runs))
    own.sort(key=lambda row: report_order(row.model)[0])
    return [*own, *shared.values()]


def _row(name: str, model: str, runs: Sequence[Run]) -> ComparisonRow:
    runs = [run for run in runs if model in run.models]
    metadata = runs[0].part("models")[model]
    traffic = [run.traffic(model) for run in runs]
    return ComparisonRow(
        configuration=name,
        model=model,
        seeds=tuple(int(run.summary.get("seed", 0)) for run in runs),
        metrics={metric: value for metric in METRICS if (value := _over_runs(model, metric, runs)) is not None},
        parameters=metadata.get("parameters"),
        bytes_up=_mean([part.get("total-up-bytes-per-client") for part in traffic]),
        bytes_down=_mean([part.get("total-down-bytes-per-client") for part in traffic]),
        privacy=_promised(runs[0]) if name else "",
    )


def promises(rows: Sequence[ComparisonRow]) -> dict[str, str]:
    """Return the privacy guarantee of every configuration among the rows."""
    return {row.configuration: row.privacy for row in rows if row.configuration}


def _promised(run: Run) -> str:
    """Return mode and budget of a run with their conditions."""
    privacy = run.part("privacy")
    parts = [f"mode {privacy['mode']}"]
    if run.protected:
        parts += [f"epsilon {privacy['epsilon-planned']:g}", _at_delta(privacy)]
    if students := privacy.get("students"):
        parts += [f"students under DP-SGD: epsilon {students['epsilon']:.3g}", _at_delta(students)]
    return ", ".join(parts)


def _at_delta(privacy: Mapping[str, Any]) -> str:
    return f"delta {privacy['delta']:g}, {conditions(privacy)}"


def _over_runs(model: str, metric: str, runs: Sequence[Run]) -> Interval | None:
    values = [value for run in runs if (value := run.interval(model, metric)) is not None]
    if len(values) < 2:
        return values[0] if values else None
    return Interval.read(over_seeds(np.array([value.mean for value in values])))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
