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

SHOWN = (*OURS, *ALONE, "public-teacher", EASE)
"""The models of a curve, as far as they were measured, the most important first."""


@dataclass(frozen=True)
class KeyCurve:
    """Quality against the values of one setting.

    Attributes
    ----------
    key : str
        The setting.
    values : tuple of str
        Its values, in the order asked for.
    quality : dict of str to dict of str to Interval
        By value and model: mean over seeds, with Student's 95 % interval.
    parameters, bytes_up : dict of str to float
        By value: of the student, and what a client sent in the whole run; means over seeds.
    setting : mapping
        Algorithm, data, split and seeds.
    """

    key: str
    values: tuple[str, ...]
    quality: Mapping[str, Mapping[str, Interval]]
    parameters: Mapping[str, float]
    bytes_up: Mapping[str, float]
    setting: Mapping[str, str]

    @property
    def models(self) -> list[str]:
        """The models that were measured at any value."""
        return [name for name in SHOWN if any(name in row for row in self.quality.values())]

    @property
    def rows(self) -> list[tuple[str, dict[str, Interval], str, str]]:
        """The table: value, quality by model, the student's parameters, and the bytes that a client sent."""
        counts = [
            (f"{self.parameters[v]:,.0f}" * (v in self.parameters), f"{self.bytes_up[v]:,.0f}") for v in self.values
        ]
        return [(v, dict(self.quality[v]), *told) for v, told in zip(self.values, counts, strict=True)]


def key_curve(key: str, runs: Mapping[str, Sequence[Run]]) -> KeyCurve:
    """Return the curve of finished runs, given by value and for each value by seed."""
    quality = {value: _joined(seeds) for value, seeds in runs.items()}
    sizes = {
        value: mean([run.part("models").get("student", {}).get("parameters") for run in seeds])
        for value, seeds in runs.items()
    }
    sent = {
        value: mean([run.part("traffic")["total-up-bytes-per-client"] for run in seeds])
        for value, seeds in runs.items()
    }
    known = {value: size for value, size in sizes.items() if size is not None}
    return KeyCurve(key, tuple(runs), quality, known, {v: s or 0.0 for v, s in sent.items()}, _setting(runs))


def _joined(seeds: Sequence[Run]) -> dict[str, Interval]:
    """Return the quality of every model that was measured."""
    found = {name: joined([run.interval(name, METRIC) for run in seeds]) for name in SHOWN}
    # A single seed has no interval here: that over its users says nothing of other seeds.
    return {n: v if len(seeds) > 1 else Interval(v.mean, v.mean, v.mean) for n, v in found.items() if v is not None}


def key_chart(found: KeyCurve) -> Chart:
    """Return all models against the values: in equal factors where they are positive numbers, else by name."""
    places = _places(found.values)
    series = [
        Series(
            title(name),
            name,
            [places[v] for v in found.values if name in found.quality[v]],
            [drawn(found.quality[v][name]) for v in found.values if name in found.quality[v]],
        )
        for name in found.models
    ]
    names = () if _numbers(found.values) else found.values
    several = "," in found.setting["Seeds"]
    return Chart(
        "setting",
        f"Quality against {found.key}",
        f"{metric_title(METRIC)} of private users, mean over seeds "
        + ("with Student's 95 % interval." if several else "(one seed: no interval)."),
        Axis(found.key, "names" if names else "factors", names),
        metric_title(METRIC),
        tuple(series),
    )


def write_key_curve(found: KeyCurve, folder: Path) -> Path:
    """Write ``sweep.json``, ``sweep.svg`` and ``sweep.html`` into a folder, and return the page's path."""
    chart = key_chart(found)
    numbers: dict[str, Any] = {"key": found.key, "setting": dict(found.setting), "values": {}}
    for value in found.values:
        models = {name: interval._asdict() for name, interval in found.quality[value].items()}
        told = {"parameters": found.parameters.get(value), "bytes-up-per-client": found.bytes_up[value]}
        numbers["values"][value] = {"models": models, **told}
    (folder / "sweep.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    drawn = standalone_svg(draw(chart), chart.name, chart.heading, chart.numbers)
    (folder / "sweep.svg").write_text(drawn, encoding="utf-8")
    page = templates().get_template("key_curve.html.j2").render(curve=found, chart=chart, metric=METRIC)
    path = folder / "sweep.html"
    path.write_text(page, encoding="utf-8")
    return path


def _numbers(values: Sequence[str]) -> list[float]:
    """Return values as positive numbers; empty where one is none."""
    try:
        found = [float(value) for value in values]
    except ValueError:
        return []
    return found if min(found) > 0 else []


def _places(values: Sequence[str]) -> dict[str, float]:
    return dict(zip(values, _numbers(values) or map(float, range(len(values))), strict=True))


def _setting(runs: Mapping[str, Sequence[Run]]) -> dict[str, str]:
    seeds = next(iter(runs.values()))
    run = seeds[0]
    data, split = run.part("data"), run.part("split")
    return {
        "Algorithm": str(run.summary["algorithm"]),
        "Data": f"{run.config['data']['source']}, {count_text(data['users'])} users, {count_text(data['items'])} items",
        "Split": f"{split['kind']}, {split['target']} part",
        "Seeds": ", ".join(str(run.summary["seed"]) for run in seeds),
        "Privacy": str(run.part("privacy")["mode"]),
    }
