"""Numbers of runs that differ in their seed alone, joined."""

from collections.abc import Sequence

import numpy as np

from fedkd.evaluation.evaluator import over_seeds
from fedkd.report.run import Interval


def joined(found: Sequence[Interval | None]) -> Interval | None:
    """Return the interval over seeds of several measurements, or that of a single one; None where there is none."""
    values = [value for value in found if value is not None]
    if len(values) < 2:
        return values[0] if values else None
    return Interval.read(over_seeds(np.array([value.mean for value in values])))


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of those numbers that are there; None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def drawn(value: Interval) -> Interval:
    """Return an interval cut to what a metric can be; Student's t of few seeds does not know."""
    return Interval(value.mean, max(0.0, value.low), min(1.0, value.high))
