"""The cost of privacy in quality: teacher and student against epsilon, as a page, a picture and numbers."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from fedkd.evaluation.evaluator import over_seeds
from fedkd.evaluation.rows import AT_TERMINAL, OURS, title
from fedkd.privacy.mechanisms.table import MECHANISMS
from fedkd.report.charts import Axis, Chart, Series, draw
from fedkd.report.formatting import count_text, metric_title, percent
from fedkd.report.page import METRIC, templates
from fedkd.report.plots import standalone_svg
from fedkd.report.run import Interval, Run
from fedkd.report.seeds import drawn

LEVELS = tuple(row.name for row in AT_TERMINAL if row.swept and row.kind != "run")
"""Models that no noise touches: they are the same at every epsilon."""

MODELS = (*(row.name for row in AT_TERMINAL if row.kind == "run"), *LEVELS)


@dataclass(frozen=True)
class Point:
    """The quality of one model at one epsilon.

    Attributes
    ----------
    epsilon : float
        The planned total of a run; infinite without protection.
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

    @property
    def interval(self) -> Interval:
        """Mean and interval."""
        return Interval(self.mean, self.low, self.high)


@dataclass(frozen=True)
class Curve:
    """Quality against epsilon, under conditions that are the same for all of it.

    Attributes
    ----------
    points : tuple of Point
        Every model at every epsilon, in the order of the epsilons asked for.
    mode : str
        The privacy mode of the finite epsilons; ``none`` where there are none.
    privacy : mapping
        Unit, delta, adjacency and sampling, the conditions of every epsilon; empty where there is none.
    setting : mapping
        Clients, data, split and seeds.
    """

    points: tuple[Point, ...]
    mode: str
    privacy: Mapping[str, str]
    setting: Mapping[str, str]

    @property
    def epsilons(self) -> list[float]:
        """The budgets, infinite without protection."""
        return list(dict.fromkeys(point.epsilon for point in self.points))

    @property
    def models(self) -> list[str]:
        """The models that were measured, in the order of the table."""
        return [name for name in MODELS if any(point.model == name for point in self.points)]

    @cached_property
    def rows(self) -> dict[float, dict[str, Point]]:
        """The points by epsilon and model."""
        return {
            epsilon: {point.model: point for point in self.points if point.epsilon == epsilon}
            for epsilon in self.epsilons
        }

    @property
    def promise(self) -> str:
        """The conditions of every epsilon, in one line."""
        words = {"mode": self.mode} | {name.lower(): value for name, value in self.privacy.items()}
        return ", ".join(value if name == "sampling" else f"{name} {value}" for name, value in words.items())


def curve(runs: Mapping[float, Sequence[Run]]) -> Curve:
    """Return the curve of finished runs, given by epsilon and for each epsilon by seed."""
    points = []
    for epsilon, seeds in runs.items():
        for name in MODELS:
            means = tuple(value.mean for run in seeds if (value := run.interval(name, METRIC)) is not None)
            if means:
                points.append(Point(epsilon, name, **over_seeds(np.array(means)), means=means))
    first = min(runs)
    protected = runs[first][0]
    return Curve(tuple(points), str(protected.part("privacy")["mode"]), _privacy(protected), _setting(runs[first]))


def regret(curve: Curve, epsilon: float) -> float:
    """Return the mean loss of serving the private student, whatever epsilon is, where the public-only one is better.

    The rule is fixed beforehand: what the private run ends in is a posterior whose prior is the public users' model,
    and falls back to it as the noise grows, so it is served at every epsilon. Not a number where one was not measured.
    """
    row = curve.rows.get(epsilon, {})
    if not {"student", "public-student"} <= row.keys():
        return math.nan
    return float(np.mean(np.maximum(0, np.subtract(row["public-student"].means, row["student"].means))))


def curve_chart(curve: Curve) -> Chart | None:
    """Return teacher and student against epsilon, between the levels that no noise touches; None without epsilons."""
    budgets = [epsilon for epsilon in curve.epsilons if math.isfinite(epsilon)]
    if not budgets:
        return None
    series = []
    for name in OURS:
        own = sorted((row[name] for epsilon, row in curve.rows.items() if epsilon in budgets and name in row), key=_at)
        series += [Series(title(name), name, [_at(p) for p in own], [drawn(p.interval) for p in own])] if own else []
    unit, delta = curve.privacy["Unit"], curve.privacy["Delta"]
    several = len(curve.points[0].means) > 1
    return Chart(
        "epsilon",
        "Quality against epsilon",
        f"{metric_title(METRIC)} of private users, mean over seeds "
        + ("with Student's 95 % interval." if several else "(one seed: no interval)."),
        Axis(f"epsilon of a whole run for {unit}, delta {delta}, {curve.privacy['Adjacency']}", "factors"),
        metric_title(METRIC),
        tuple(series),
        _levels(curve),
    )


def headline(curve: Curve) -> str:
    """Return a sentence: the share of the unprotected student's quality at the least and the largest epsilon."""
    students = {epsilon: row["student"].mean for epsilon, row in curve.rows.items() if "student" in row}
    whole = students.pop(math.inf, 0.0)
    if not whole or not students:
        return "What privacy costs in quality"
    kept = [f"{percent(students[e] / whole)} at epsilon {e:g}" for e in dict.fromkeys((min(students), max(students)))]
    return f"Of the unprotected student's {metric_title(METRIC)}, privacy leaves {' and '.join(kept)}."


def write_curve(curve: Curve, folder: Path) -> Path:
    """Write ``sweep.json``, ``sweep.svg`` and ``sweep.html`` into a folder, and return the page's path.

    The JSON holds the conditions and the points; epsilon is null without protection. Without a finite epsilon there is
    no picture.
    """
    points = [asdict(p) | {"epsilon": _at(p) if math.isfinite(_at(p)) else None} for p in curve.points]
    numbers = {"mode": curve.mode, "privacy": dict(curve.privacy), "setting": dict(curve.setting), "points": points}
    (folder / "sweep.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    chart, path = curve_chart(curve), folder / "sweep.html"
    if chart is not None:
        picture = draw(replace(chart, notes=_notes(curve)))
        drawn = standalone_svg(picture, chart.name, chart.heading, chart.numbers)
        (folder / "sweep.svg").write_text(drawn, encoding="utf-8")
    page = (
        templates()
        .get_template("curve.html.j2")
        .render(
            curve=curve,
            chart=chart,
            headline=headline(curve),
            trust=MECHANISMS.find(curve.mode).trust,
            unprotected=math.inf in curve.rows,
            regrets={epsilon: regret(curve, epsilon) for epsilon in curve.epsilons},
        )
    )
    path.write_text(page, encoding="utf-8")
    return path


def _at(point: Point) -> float:
    return point.epsilon


def _levels(curve: Curve) -> tuple[Series, ...]:
    """Return the models that no noise touches; public-only ones by the rule of the protected runs, maybe another."""
    rows = sorted(curve.rows.items(), reverse=True)
    any_row = {name: point for _, row in rows for name, point in row.items()}
    found = [(title(name), name, any_row[name]) for name in LEVELS if name in any_row]
    if (student := curve.rows.get(math.inf, {}).get("student")) is not None:
        found.append(("Unprotected student", "unprotected", student))
    return tuple(Series(label, style, [], [drawn(point.interval)]) for label, style, point in found)


def _privacy(run: Run) -> dict[str, str]:
    if not run.protected:
        return {}
    privacy = run.part("privacy")
    return {
        "Unit": f"one {privacy['unit']}",
        "Delta": f"{privacy['delta']:g}",
        "Adjacency": str(privacy["adjacency"]),
        "Sampling": str(privacy["sampling"]),
    }


def _setting(runs: Sequence[Run]) -> dict[str, str]:
    run = runs[0]
    data, split = run.part("data"), run.part("split")
    students = run.config["privacy"]["student"]
    noised = f"DP-SGD, epsilon {students['epsilon']:g} for one user's history" if "epsilon" in students else ""
    rounds = run.summary["rounds"]
    return {
        "Algorithm": f"{run.summary['algorithm']}, {rounds} round{'' if rounds == 1 else 's'}",
        "Clients": count_text(data["clients"]),
        "Data": f"{run.config['data']['source']}, {count_text(data['users'])} users, {count_text(data['items'])} items",
        "Public users": count_text(data["public-users"]),
        "Split": f"{split['kind']}, {split['target']} part",
        "Seeds": ", ".join(str(run.summary["seed"]) for run in runs),
    } | ({"Students": noised} if noised else {})


def _notes(curve: Curve) -> tuple[str, ...]:
    """Return the conditions as lines of a picture, two to a line."""
    conditions = {"Mode": curve.mode, **curve.privacy, **curve.setting}
    words = [f"{name}: {value}" for name, value in conditions.items()]
    return tuple("; ".join(words[index : index + 2]) for index in range(0, len(words), 2))
