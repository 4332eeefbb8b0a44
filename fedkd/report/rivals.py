"""A run's teacher and student beside the models that they stand in for: paired differences, and shares."""

from collections.abc import Sequence
from typing import NamedTuple

from fedkd.evaluation.metrics import PRIMARY
from fedkd.evaluation.rows import ROWS
from fedkd.report.differences import Measured, difference
from fedkd.report.run import Interval, Run
from fedkd.report.seeds import joined


class Rival(NamedTuple):
    """A model of a run, and another way to have it.

    Attributes
    ----------
    model, rival : str
        Their names in ``summary.json``.
    difference : Interval or None
        What the model has more of the primary metric, paired over seeds, or over users of a single one; None where
        nothing is paired, as users of a federation of its own are not.
    share : Interval or None
        The model's primary metric over the rival's; without an interval for a single seed.
    """

    model: str
    rival: str
    difference: Interval | None
    share: Interval | None


def rivals(runs: Sequence[Run]) -> list[Rival]:
    """Return teacher and student of runs that differ in their seed alone, beside every rival that was measured."""
    pairs = [(row.rival_of, row.name) for row in ROWS if row.rival_of]
    return [_rival(runs, *pair) for pair in sorted(pairs, reverse=True) if _measured(runs, *pair)]


def _measured(runs: Sequence[Run], *models: str) -> bool:
    return any(all(run.interval(model, PRIMARY) for model in models) for run in runs)


def _rival(runs: Sequence[Run], model: str, rival: str) -> Rival:
    gained = difference(Measured(model, runs), Measured(rival, runs), PRIMARY)
    return Rival(model, rival, gained, joined([run.ratio(model, rival, PRIMARY) for run in runs]))
