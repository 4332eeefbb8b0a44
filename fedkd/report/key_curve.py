"""Quality against one setting: student, teacher and what they are judged by, as a page, a picture and numbers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedkd.evaluation.rows import ALONE, EASE, OURS, title
from fedkd.report.charts import Axis, Chart, Series, draw
from fedkd.report.formatting import count_text, metric_title
from fedkd.report.page import METRIC, templates
from fedkd.report.plots import standalone_svg
from fedkd.report.run import Interval, Run
from fedkd.report.seeds import drawn, joined, mean

SHOWN = (*OURS, *ALONE, EASE)
"""The models of a curve, as far as they were measured, the most important first."""


@dataclass(frozen=True)
class KeyPoint:
    """One value of a setting.

    Attributes
    ----------
    value : str
        The value, as it was asked for.
    quality : dict of str to Interval
        By model: mean over seeds, with Student's 95 % interval.
    parameters : float or None
        Of the student, the mean over seeds; None where there is no student for everyone.
    bytes_up : float
        Sent by a client in the whole run, the mean over seeds.
    """

    value: str
    quality: Mapping[str, Interval]
    parameters: float | None
    bytes_up: float

    @classmethod
    def of(cls, value: str, seeds: Sequence[Run]) -> "KeyPoint":
        """Return the point of the runs with one value."""
        parameters = mean([run.part("models").get("student", {}).get("parameters") for run in seeds])
        sent = mean([run.part("traffic").get("total-up-bytes-per-client") for run in seeds])
        return cls(value, _joined(seeds), parameters, sent or 0.0)

    @property
    def counts(self) -> tuple[str, str]:
        """The student's parameters and the bytes that a client sent, for people."""
        return "" if self.parameters is None else f"{self.parameters:,.0f}", f"{self.bytes_up:,.0f}"


@dataclass(frozen=True)
class KeyCurve:
    """Quality against the values of one setting.

    Attributes
    ----------
    key : str
        The setting.
    points : tuple of KeyPoint
        Its values, in the order asked for.
    setting : mapping
        Algorithm, data, split and seeds.
    """

    key: str
    points: tuple[KeyPoint, ...]
    setting: Mapping[str, str]

    @property
    def models(self) -> list[str]:
        """The models that were measured at any value."""
        return [name for name in SHOWN if any(name in point.quality for point in self.points)]


def key_curve(key: str, runs: Mapping[str, Sequence[Run]]) -> KeyCurve:
    """Return the curve of finished runs, given by value and for each value by seed."""
    points = tuple(KeyPoint.of(value, seeds) for value, seeds in runs.items())
    return KeyCurve(key, points, _setting(next(iter(runs.values()))))


def _joined(seeds: Sequence[Run]) -> dict[str, Interval]:
    """Return the quality of every model that was measured."""
    found = {name: joined([run.interval(name, METRIC) for run in seeds]) for name in SHOWN}
    # A single seed has no interval here: that over its users says nothing of other seeds.
    return {n: v if len(seeds) > 1 else Interval(v.mean, v.mean, v.mean) for n, v in found.items() if v is not None}


def key_chart(found: KeyCurve) -> Chart:
    """Return all models against the values: in equal factors where they are positive numbers, else by name."""
    values = tuple(point.value for point in found.points)
    numbers = _numbers(values)
    placed = list(zip(numbers or range(len(values)), found.points, strict=True))
    several = "," in found.setting["Seeds"]
    return Chart(
        "setting",
        f"Quality against {found.key}",
        f"{metric_title(METRIC)} of private users, mean over seeds "
        + ("with Student's 95 % interval." if several else "(one seed: no interval)."),
        Axis(found.key, "factors") if numbers else Axis(found.key, "names", values),
        metric_title(METRIC),
        tuple(_series(name, placed) for name in found.models),
    )


def _series(model: str, placed: Sequence[tuple[float, KeyPoint]]) -> Series:
    own = [(place, drawn(point.quality[model])) for place, point in placed if model in point.quality]
    return Series(title(model), model, [place for place, _ in own], [value for _, value in own])


def write_key_curve(found: KeyCurve, folder: Path) -> Path:
    """Write ``sweep.json``, ``sweep.svg`` and ``sweep.html`` into a folder, and return the page's path."""
    chart, path = key_chart(found), folder / "sweep.html"
    numbers = {"key": found.key, "setting": dict(found.setting), "points": [_told(point) for point in found.points]}
    (folder / "sweep.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    picture = standalone_svg(draw(chart), chart.name, chart.heading, chart.numbers)
    (folder / "sweep.svg").write_text(picture, encoding="utf-8")
    page = templates().get_template("key_curve.html.j2").render(curve=found, chart=chart, metric=METRIC)
    path.write_text(page, encoding="utf-8")
    return path


def _told(point: KeyPoint) -> dict[str, Any]:
    quality = {name: interval._asdict() for name, interval in point.quality.items()}
    sizes = {"parameters": point.parameters, "total-up-bytes-per-client": point.bytes_up}
    return {"value": point.value, "models": quality, **sizes}


def _numbers(values: Sequence[str]) -> list[float]:
    """Return values as positive numbers; empty where one is none."""
    try:
        found = [float(value) for value in values]
    except ValueError:
        return []
    return found if min(found) > 0 else []


def _setting(seeds: Sequence[Run]) -> dict[str, str]:
    run = seeds[0]
    data, split = run.part("data"), run.part("split")
    return {
        "Algorithm": str(run.summary["algorithm"]),
        "Data": f"{run.config['data']['source']}, {count_text(data['users'])} users, {count_text(data['items'])} items",
        "Split": f"{split['kind']}, {split['target']} part",
        "Seeds": ", ".join(str(run.summary["seed"]) for run in seeds),
        "Privacy": str(run.part("privacy")["mode"]),
    }
