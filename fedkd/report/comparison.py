"""Several runs beside each other: those that differ in their seed alone become one row with an interval over seeds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedkd.errors import UserError
from fedkd.evaluation.metrics import METRICS
from fedkd.evaluation.rows import BY_NAME, EASE, ROWS, report_order, title
from fedkd.report.charts import PALETTE, Chart, Series
from fedkd.report.differences import Measured, difference
from fedkd.report.formatting import conditions
from fedkd.report.page import METRIC, templates
from fedkd.report.pictures import series_against_bytes
from fedkd.report.run import Interval, Run
from fedkd.report.seeds import joined, mean


@dataclass(frozen=True)
class ComparisonRow:
    """One model of one configuration.

    Attributes
    ----------
    configuration : str
        What the configuration is called; empty for models that do not depend on it.
    setting : str
        Protocol, rounds, seeds and privacy of the configuration; empty for models that do not depend on it.
    model : str
        The model's name in ``summary.json``.
    seeds : tuple of int
        The seeds of the runs behind it.
    metrics : dict of str to Interval
        Over users for one seed, over seeds (Student's t) for several.
    difference : Interval or None
        To the first model of the comparison in ``METRIC``, paired: over common seeds, or over users where only one seed
        is common; None where nothing is paired.
    of_ease : Interval or None
        The share of EASE's ``METRIC``; None where EASE was not measured.
    parameters : int or None
        Of the model.
    bytes_up, bytes_down : float or None
        What a client sent and received over the whole run, for models that a federation trained.
    trained_bytes : float
        Both without evaluation; 0 for other models.
    """

    configuration: str
    setting: str
    model: str
    seeds: tuple[int, ...]
    metrics: dict[str, Interval]
    difference: Interval | None
    of_ease: Interval | None
    parameters: int | None
    bytes_up: float | None
    bytes_down: float | None
    trained_bytes: float


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
    return _rows(grouped(folders, allow_different))


def grouped(folders: Sequence[Path], allow_different: bool = False) -> dict[str, list[Run]]:
    """Return the runs of every configuration by its name; parameters and errors as in ``compare``."""
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
    return _named(list(groups.values()))


def render_comparison(rows: Sequence[ComparisonRow], path: Path) -> Path:
    """Write a comparison as one offline HTML file, and return its path."""
    best = {
        metric: max((row.metrics[metric].mean for row in rows if metric in row.metrics), default=0.0)
        for metric in METRICS
    }
    shown = {"rows": rows, "metrics": METRICS, "best": best, "settings": settings(rows), "metric": METRIC}
    page = templates().get_template("comparison.html.j2").render(shown, base=base(rows), chart=comparison_chart(rows))
    path.write_text(page, encoding="utf-8")
    return path


def settings(rows: Sequence[ComparisonRow]) -> dict[str, str]:
    """Return protocol, rounds, seeds and privacy of every configuration among the rows."""
    return {row.configuration: row.setting for row in rows if row.configuration}


def base(rows: Sequence[ComparisonRow]) -> str:
    """Return the name of the model that differences are to; empty where there is none."""
    first = rows[0] if rows and rows[0].difference is not None else None
    several = len(settings(rows)) > 1
    return "" if first is None else f"{title(first.model)} of {first.configuration}" if several else title(first.model)


def _check(first: Run, other: Run) -> None:
    """Refuse runs on other data or another kind of split, and those that do not say on which."""
    for run in (first, other):
        _check_described(run)
    asked = {"data": ("fingerprint",), "split": ("kind", "target")}
    for part, names in asked.items():
        for name in names:
            one, two = first.part(part).get(name), other.part(part).get(name)
            if one != two:
                raise UserError(
                    f"{first.path} and {other.path} cannot be compared: {part}.{name} is {one} in one and {two} in the "
                    "other; compare runs on the same data and split, or say that they may differ (--allow-different)"
                )


def _check_described(run: Run) -> None:
    """Refuse a run without its data's fingerprint: of a real server, or stopped before its models were measured."""
    if "fingerprint" in run.part("data"):
        return
    if run.config.get("runtime", {}).get("server-data") is not None:
        raise UserError(
            f"{run.path} is a run of a real server, which does not know all data; if they are the same, say "
            "--allow-different"
        )
    raise UserError(
        f"{run.path} has not finished: its models are not all measured; continue it with python -m simulations.run "
        f"--resume {run.path}"
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
    """Name every group after its run; where that is not unique, after its protocol, or else its folder too."""
    names = [str(group[0].summary.get("name", group[0].path.name)) for group in groups]
    protocols = [_protocol(group[0]) for group in groups]
    folders = [f"{name} ({group[0].path.name})" for name, group in zip(names, groups, strict=True)]
    schemes = (names, protocols, folders)
    return dict(zip(next(scheme for scheme in schemes if _unique(scheme)), groups, strict=True))


def _unique(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names)


def _protocol(run: Run) -> str:
    return str(run.summary.get("algorithm") or run.config["algorithm"]["name"])


def _rows(groups: Mapping[str, list[Run]]) -> list[ComparisonRow]:
    """Return the rows of every group, model by model, then the models that do not depend on the group."""
    own: list[tuple[str, str, list[Run]]] = []
    independent = {row.name for row in ROWS if row.independent}
    shared: dict[str, list[Run]] = {}
    for name, runs in groups.items():
        for model in dict.fromkeys(model for run in runs for model in run.models):
            if model in independent:
                shared.setdefault(model, runs)
            else:
                own.append((name, model, runs))
    own.sort(key=lambda row: report_order(row[1])[0])
    named = [*own, *(("", model, runs) for model, runs in shared.items())]
    return [_row(name, Measured(model, runs), Measured(*named[0][1:])) for name, model, runs in named]


def _row(name: str, measured: Measured, first: Measured) -> ComparisonRow:
    model, runs = measured.model, [run for run in measured.runs if measured.model in run.models]
    traffic = [run.traffic(model) for run in runs]
    return ComparisonRow(
        configuration=name,
        setting=_setting(runs) if name else "",
        model=model,
        seeds=tuple(int(run.summary.get("seed", 0)) for run in runs),
        metrics={name: value for name in METRICS if (value := joined([run.interval(model, name) for run in runs]))},
        difference=difference(measured, first, METRIC),
        of_ease=joined([run.ratio(model, EASE, METRIC) for run in runs]),
        parameters=runs[0].part("models")[model].get("parameters"),
        bytes_up=mean([part.get("total-up-bytes-per-client") for part in traffic]),
        bytes_down=mean([part.get("total-down-bytes-per-client") for part in traffic]),
        trained_bytes=sum(run.trained_bytes(model) for run in runs) / len(runs),
    )


def comparison_chart(rows: Sequence[ComparisonRow]) -> Chart | None:
    """Return quality against bytes of all that a federation trained, between the levels of the rest; None without."""
    series, several = list[Series](), len(settings(rows)) > 1
    for row in rows:
        value = row.metrics.get(METRIC)
        if row.trained_bytes > 0 and value is not None:
            label = f"{title(row.model)}, {row.configuration}" if several else title(row.model)
            series.append(Series(label, _style(len(series), row.model, several), [row.trained_bytes], [value]))
    levels = [row for row in rows if row.model in BY_NAME and BY_NAME[row.model].level and METRIC in row.metrics]
    unique = {row.model: Series(title(row.model), row.model, [], [row.metrics[METRIC]]) for row in reversed(levels)}
    return series_against_bytes("comparison", METRIC, tuple(series), tuple(reversed(unique.values())))


def _style(place: int, model: str, several: bool) -> str:
    """Return the look of a series: that of its model, or one of its own where configurations share models."""
    return PALETTE[place % len(PALETTE)] if several else model


def _setting(runs: Sequence[Run]) -> str:
    """Return protocol, rounds, seeds, mode and budget of runs with their conditions."""
    run, privacy = runs[0], runs[0].part("privacy")
    rounds, seeds = run.summary.get("rounds", len(run.rounds)), sorted({int(r.summary.get("seed", 0)) for r in runs})
    parts = [f"protocol {_protocol(run)}", f"{rounds} round{'' if rounds == 1 else 's'}"]
    parts += [f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}", f"mode {privacy['mode']}"]
    if run.protected:
        parts += [f"epsilon {privacy['epsilon-planned']:g}", _at_delta(privacy)]
    if students := privacy.get("students"):
        parts += [f"students under DP-SGD: epsilon {students['epsilon']:.3g}", _at_delta(students)]
    return ", ".join(parts)


def _at_delta(privacy: Mapping[str, Any]) -> str:
    return f"delta {privacy['delta']:g}, {conditions(privacy)}"
