"""Whether distillation pays: teacher, student, and the same student without a teacher, with what each of them costs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedkd.evaluation.metrics import PRIMARY
from fedkd.evaluation.rows import ALONE, BY_NAME
from fedkd.report.differences import Measured, difference
from fedkd.report.formatting import bytes_text, count_text, interval_text, metric_title, share_text
from fedkd.report.run import Interval, Run
from fedkd.report.seeds import joined, mean

QUALITY = (PRIMARY, "recall@20", "hr@10")
"""The metrics of the table."""

WORDS = {"as the run": "without a teacher and with the same settings", "tuned": "tuned for itself"}
"""The ways to train a student alone, in words for people."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """The worth of distillation, in words.

    Attributes
    ----------
    pays : bool
        Whether the student is better than it is without a teacher, beyond the intervals, however that is trained.
    sentences : tuple of str
        One for each comparison; the first ones say where it does not pay.
    """

    pays: bool
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class DistillationTable:
    """The table of one configuration.

    Attributes
    ----------
    models : tuple of str
        Those of teacher, student and students alone that were measured.
    lines : dict of str to tuple of str
        What is told, and a cell for every model.
    verdict : Verdict or None
        None where the student has nothing to be compared with.
    notes : tuple of str
        The settings that were chosen.
    """

    models: tuple[str, ...]
    lines: Mapping[str, tuple[str, ...]]
    verdict: Verdict | None
    notes: tuple[str, ...]


def distillation_table(runs: Sequence[Run]) -> DistillationTable | None:
    """Return the table of runs that differ in their seed alone; None where fewer than two models were measured.

    One run has intervals over users, several have Student's t intervals over seeds.
    """
    models = tuple(name for name in ("teacher", "student", *ALONE) if all(run.interval(name, PRIMARY) for run in runs))
    if len(models) < 2:
        return None
    cells = {text: tuple(told(runs, name) for name in models) for text, told in LINES.items()}
    lines = {text: found for text, found in cells.items() if any(found)}
    return DistillationTable(models, lines, verdict(runs), _chosen(runs))


def verdict(runs: Sequence[Run]) -> Verdict | None:
    """Return what distillation is worth; None where the student was not measured alone."""
    gains = {name: gain for name in ALONE if (gain := _gain(runs, name)) is not None}
    if not gains:
        return None
    what = "Distillation" if all(run.interval("teacher", PRIMARY) for run in runs) else "Federated training"
    paired = "paired over seeds" if len(runs) > 1 else "paired over users"
    lost = [_lost(what, name, gain, paired) for name, gain in gains.items() if gain.low <= 0]
    won = [_won(what, name, gain, paired) for name, gain in gains.items() if gain.low > 0]
    return Verdict(not lost, (*lost, *won))


def _gain(runs: Sequence[Run], name: str) -> Interval | None:
    """Return what the student has more than alone; None where an interval is missing that would say how surely."""
    if len(runs) == 1:
        return Interval.read(runs[0].part("distillation").get("gain", {}).get(name))
    return difference(Measured("student", runs), Measured(name, runs), PRIMARY)


def _lost(what: str, name: str, gain: Interval, paired: str) -> str:
    how = "is better" if gain.high < 0 else "is as good"
    return (
        f"{what} does not pay here: the same student {WORDS[BY_NAME[name].alone]} {how}. "
        f"It adds {_signed(gain.mean)} {metric_title(PRIMARY)} ({_ends(gain)}, {paired})."
    )


def _won(what: str, name: str, gain: Interval, paired: str) -> str:
    return (
        f"{what} adds {_signed(gain.mean)} {metric_title(PRIMARY)} to the same student {WORDS[BY_NAME[name].alone]} "
        f"({_ends(gain)}, {paired})."
    )


def _ends(gain: Interval) -> str:
    return f"95 % interval {_signed(gain.low)} to {_signed(gain.high)}"


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "\N{MINUS SIGN}")


def _chosen(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the settings of a tuned student, of every seed."""
    found = {str(run.summary.get("seed", 0)): _row(run, "tuned").get("settings") for run in runs}
    told = {seed: ", ".join(f"{n} {v:g}" for n, v in settings.items()) for seed, settings in found.items() if settings}
    if not told:
        return ()
    words = [f"seed {seed}: {text}" for seed, text in told.items()] if len(told) > 1 else [*told.values()]
    return (f"Tuned on a part of the public users' histories: {'; '.join(words)}.",)


def _row(run: Run, name: str) -> Row:
    found = run.part("models").get(name, {})
    return found if isinstance(found, Mapping) else {}


def _metric(metric: str) -> Callable[[Sequence[Run], str], str]:
    def told(runs: Sequence[Run], name: str) -> str:
        found = joined([run.interval(name, metric) for run in runs])
        return "" if found is None else interval_text(found)

    return told


def _share(runs: Sequence[Run], name: str) -> str:
    """Return the share of the teacher's quality."""
    if any(run.interval("teacher", PRIMARY) is None for run in runs):
        return ""
    if name == "teacher":
        return share_text(Interval(1.0, 1.0, 1.0))
    found = joined([_of_teacher(run, name) for run in runs])
    return "" if found is None else share_text(found)


def _of_teacher(run: Run, name: str) -> Interval | None:
    measured = Interval.read(run.part("distillation").get("of-teacher", {}).get(name))
    return measured or run.ratio(name, "teacher", PRIMARY)


def _cost(path: str, shown: Callable[[float], str]) -> Callable[[Sequence[Run], str], str]:
    """Return a cell with the mean of a number over runs, empty where one lacks it."""

    def told(runs: Sequence[Run], name: str) -> str:
        values = [_at(_row(run, name), path) for run in runs]
        found = mean(values) if all(value is not None for value in values) else None
        return "" if found is None else shown(found)

    return told


def _at(row: Row, path: str) -> float | None:
    found: Any = row
    for part in path.split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return None if found is None else float(found)


def operations_text(count: float) -> str:
    """Return a number of operations in the largest unit that leaves at least 1: ``215 k``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size * 0.9995:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f}"


LATENCIES = (_cost("latency-ms/p50", "{:.3f}".format), _cost("latency-ms/p95", "{:.3f}".format))

LINES: Mapping[str, Callable[[Sequence[Run], str], str]] = {
    **{metric: _metric(metric) for metric in QUALITY},
    "of the teacher": _share,
    "parameters": _cost("parameters", lambda value: count_text(round(value))),
    "bytes": _cost("bytes", bytes_text),
    "FLOPs a list": _cost("flops", operations_text),
    "training, s": _cost("training-seconds", "{:.2f}".format),
    "p50 / p95, ms": lambda runs, name: " / ".join(filter(None, (told(runs, name) for told in LATENCIES))),
}
"""The lines of the table, in the order in which they are shown."""
