"""Differences between models that were measured on the same seeds, or on the same users."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from fedkd.evaluation.evaluator import mean_interval, over_seeds
from fedkd.report.run import Interval, Run


class Measured(NamedTuple):
    """A model, and the runs of one configuration that measured it."""

    model: str
    runs: Sequence[Run]


def difference(one: Measured, other: Measured, metric: str) -> Interval | None:
    """Return what a model has more than another in a metric, paired; None where nothing is paired.

    Over the seeds that both have (Student's t); where that is a single one, over its users (bootstrap).
    """
    ones, others = (_by_seed(measured, metric) for measured in (one, other))
    seeds = sorted(ones.keys() & others.keys())
    if len(seeds) == 1:
        return _over_users((one.model, ones[seeds[0]]), (other.model, others[seeds[0]]), metric)
    values = [_mean(ones[seed], one.model, metric) - _mean(others[seed], other.model, metric) for seed in seeds]
    return Interval.read(over_seeds(np.array(values))) if values else None


def _by_seed(measured: Measured, metric: str) -> dict[int, Run]:
    return {int(run.summary.get("seed", 0)): run for run in measured.runs if run.interval(measured.model, metric)}


def _mean(run: Run, model: str, metric: str) -> float:
    value = run.interval(model, metric)
    assert value is not None
    return value.mean


def _over_users(one: tuple[str, Run], other: tuple[str, Run], metric: str) -> Interval | None:
    """Return the difference of two models on the users whom both runs measured."""
    above, below = (_users(run, model, metric) for model, run in (one, other))
    if above is None or below is None or above.index.intersection(below.index).empty:
        return None
    return Interval.read(mean_interval(np.asarray((above - below).dropna(), np.float64)))


def _users(run: Run, model: str, metric: str) -> "pd.Series[float] | None":
    """Return a metric of every user, by the user's number; None where the run does not have it."""
    path, name = run.path / "users.parquet", f"{model}.{metric}"
    table = pd.read_parquet(path) if path.exists() else pd.DataFrame()
    return table.set_index("user")[name] if name in table else None
