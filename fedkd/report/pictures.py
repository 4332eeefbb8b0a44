"""The charts of one run's report."""

from collections.abc import Mapping, Sequence

from fedkd.evaluation.rows import IN_REPORT, OURS, title
from fedkd.report.charts import Axis, Chart, Series
from fedkd.report.formatting import metric_title
from fedkd.report.run import Interval, Run

LEVELS = tuple(row.name for row in IN_REPORT if row.level)
NEARLY = 0.99
"""Share of the last quality that counts as nearly all of it."""

SLICED = tuple(row.name for row in IN_REPORT if row.sliced)


def learning_curve(run: Run, metric: str) -> Chart | None:
    """Return a metric of student and teacher by round, between baselines; None where one round was measured."""
    curves = {name: run.curve(f"{name}.{metric}") for name in OURS}
    series = [_line(name, points) for name, points in curves.items() if points]
    rounds = {x for line in series for x in line.x}
    if len(rounds) < 2:
        return None
    return Chart(
        "curve",
        "Learning curves",
        f"{metric_title(metric)} of private users, measured {len(rounds)} times. {_nearly_final(curves)}",
        Axis("round", "rounds"),
        metric_title(metric),
        tuple(series),
        _levels(run, metric),
    )


def _nearly_final(curves: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Return after which round every model had nearly its last quality."""
    told = [(name, points, NEARLY * points[-1][1]) for name, points in curves.items() if points]
    rounds = {name: next(number for number, value in points if value >= enough) for name, points, enough in told}
    share = f"{NEARLY:.0%} of its last quality after round"
    return " ".join(f"The {name} had {share} {number}." for name, number in rounds.items())


def quality_against_bytes(run: Run, metric: str) -> Chart | None:
    """Return a metric against the bytes that a client had spent, up and down; None where no model has both."""
    spent, series = run.bytes_per_client(), []
    for name in run.models:
        points = [(spent[number], value) for number, value in run.curve(f"{name}.{metric}") if spent.get(number)]
        count, value = run.trained_bytes(name), run.interval(name, metric)
        if name in OURS and len(points) > 1:
            series.append(_line(name, points))
        elif count > 0 and value is not None:
            series.append(Series(title(name), name, [count], [value]))
    references = tuple(level for level in _levels(run, metric) if level.style not in {line.style for line in series})
    return series_against_bytes("bytes", metric, tuple(series), references)


def series_against_bytes(
    name: str, metric: str, series: tuple[Series, ...], references: tuple[Series, ...]
) -> Chart | None:
    """Return a chart of a metric against bytes; None without series."""
    if not series:
        return None
    return Chart(
        name,
        "Quality against bytes",
        f"{metric_title(metric)} and what a registered client had sent and received on average, without evaluation.",
        Axis("bytes sent and received by a client", "bytes"),
        metric_title(metric),
        series,
        references,
    )


def slice_chart(run: Run, metric: str, kind: str) -> Chart | None:
    """Return a metric by slice for the slices whose name holds ``kind``; None without such slices."""
    slices = run.part("slices")
    names = list(dict.fromkeys(name for model in SLICED for name in slices.get(model, {}) if kind in name))
    series = []
    for model in SLICED:
        found = [(names.index(name), Interval.read(slices.get(model, {}).get(name, {}).get(metric))) for name in names]
        points = [(float(place), value) for place, value in found if value is not None]
        series += [Series(title(model), model, [x for x, _ in points], [y for _, y in points])] if points else []
    if not series:
        return None
    by_history = kind == "history "
    return Chart(
        "history" if by_history else "popularity",
        "By length of history" if by_history else "By popularity of the target",
        f"{metric_title(metric)} of users"
        + (
            " by what is known of them; 95 % intervals."
            if by_history
            else ", counting only targets of one kind; 95 % intervals."
        ),
        Axis(
            "items in the history" if by_history else "targets, a third of all interactions each",
            "names",
            tuple(name.replace(kind, "") for name in names),
        ),
        metric_title(metric),
        tuple(series),
    )


def _line(model: str, points: Sequence[tuple[float, float]]) -> Series:
    """Return single measurements as a series; they have no intervals."""
    return Series(title(model), model, [x for x, _ in points], [Interval(y, y, y) for _, y in points])


def _levels(run: Run, metric: str) -> tuple[Series, ...]:
    """Return the baselines' means as levels."""
    found = [(name, run.interval(name, metric)) for name in LEVELS]
    return tuple(Series(title(name), name, [], [value]) for name, value in found if value is not None)
