"""Which charts the report shows of a run."""

from fedkd.report.charts import Chart, Series, bytes_axis, category_axis, round_axis, value_axis
from fedkd.report.run import Interval, Run, metric_title, title

LEARNING = ("student", "teacher")
LEVELS = ("ease", "centralised", "public-teacher", "popularity")
SLICED = ("student", "teacher", "ease", "popularity")


def learning_curve(run: Run, metric: str) -> Chart | None:
    """Return a metric of student and teacher by round, between the levels of the baselines; None without rounds."""
    series = []
    for name in LEARNING:
        points = run.curve(f"{name}.{metric}")
        values = [Interval(value, value, value) for _, value in points]
        series += [Series(title(name), name, [number for number, _ in points], values)] if points else []
    if not series:
        return None
    rounds = sorted({int(x) for line in series for x in line.x})
    references = _levels(run, metric)
    shown = [y.mean for line in (*series, *references) for y in line.y]
    return Chart(
        "curve",
        "Learning curves",
        f"{metric_title(metric)} of private users. "
        + ("One round: one point a model." if len(rounds) == 1 else f"Measured {len(rounds)} times."),
        round_axis(rounds),
        value_axis(metric_title(metric), shown),
        tuple(series),
        references,
    )


def quality_against_bytes(run: Run, metric: str) -> Chart | None:
    """Return a metric against the bytes that a client had spent, up and down; None where no model has both."""
    spent, series = run.bytes_per_client(), []
    for name in LEARNING:
        points = [(spent[number], value) for number, value in run.curve(f"{name}.{metric}") if spent.get(number)]
        values = [Interval(value, value, value) for _, value in points]
        series += [Series(title(name), name, [count for count, _ in points], values)] if points else []
    for name in (
        model for model in run.models if model not in (*LEARNING, "local-only")
    ):  # who trains alone sends nothing
        count, value = _trained_with(run, name), run.interval(name, metric)
        series += [Series(title(name), name, [count], [value])] if count > 0 and value is not None else []
    if not series:
        return None
    references = tuple(level for level in _levels(run, metric) if level.style not in {line.style for line in series})
    return Chart(
        "bytes",
        "Quality against bytes",
        f"{metric_title(metric)} and what a registered client had sent and received on average, without evaluation.",
        bytes_axis("bytes sent and received by a client", [x for line in series for x in line.x]),
        value_axis(metric_title(metric), [y.mean for line in (*series, *references) for y in line.y]),
        tuple(series),
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
        category_axis(
            "items in the history" if by_history else "targets, a third of all interactions each",
            [name.replace(kind, "") for name in names],
        ),
        value_axis(metric_title(metric), [end for line in series for y in line.y for end in (y.low, y.high)]),
        tuple(series),
    )


def _trained_with(run: Run, model: str) -> float:
    """Return the bytes that a client sent and received to train a model, without evaluation."""
    spent = run.traffic(model)
    total = sum(spent.get(f"total-{way}-bytes-per-client", 0.0) for way in ("up", "down"))
    return float(total - sum(spent.get(f"evaluation-{way}-bytes-per-client", 0.0) for way in ("up", "down")))


def _levels(run: Run, metric: str) -> tuple[Series, ...]:
    """Return the baselines' means as levels."""
    found = [(name, run.interval(name, metric)) for name in LEVELS]
    return tuple(Series(title(name), name, [], [value]) for name, value in found if value is not None)
