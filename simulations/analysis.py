"""Measurements that only a simulation can make, as it has everyone's data; they do not count as traffic."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fedkd.cli.progress import tracked
from fedkd.evaluation.beyond import agreement, beyond_accuracy
from fedkd.evaluation.cost import list_cost, typical
from fedkd.evaluation.evaluator import Lists, intervals, mean_interval, measure_lists, model_scores, ratio, recommend
from fedkd.evaluation.metrics import PRIMARY
from fedkd.evaluation.rows import ALONE, EASE, IN_REPORT
from fedkd.evaluation.slices import slices
from fedkd.lists.adjustment import FILE as LISTS
from fedkd.lists.adjustment import Adjustment
from fedkd.lists.base import Asked
from fedkd.models.base import Recommender
from fedkd.ragged import Ragged
from fedkd.runs.config import Config
from fedkd.runs.federation import Federation
from fedkd.runs.folder import RunFolder
from server.run_writer import RunWriter, model_size

RATIO_METRIC = PRIMARY


def lists_of(model: Recommender, together: Federation, name: str, adjustment: Adjustment | None = None) -> Lists:
    """Return the recommendations of a model to the private users, with its name at the progress."""
    scorer = (adjustment or Adjustment()).of(model_scores(model))
    return recommend(scorer, together.fold, together.private, watch=lambda s: tracked(s, len(s), f"{name}'s lists"))


def adjustment_of(config: Config, folder: RunFolder) -> Adjustment:
    """Return the steps of ``lists.steps`` with what they learnt in a run; none where there are none."""
    steps = config.lists.read
    return Adjustment.restore(steps, folder.read_arrays(LISTS)) if steps else Adjustment()


def federated_models(config: Config, together: Federation, folder: RunFolder) -> dict[str, Recommender]:
    """Return teacher and student of a finished run, if its protocol has them."""
    state = RunWriter(folder, config).progress(together.setup(config)).state
    models = {"teacher": config.algorithm.teacher(state), "student": config.algorithm.student(state)}
    return {name: model for name, model in models.items() if model is not None}


def row(
    model: Recommender,
    lists: Lists,
    config: Config,
    together: Federation,
    deployed: bool,
    adjustment: Adjustment | None = None,
) -> dict[str, Any]:
    """Return a model's row of the summary; a deployed one has the bytes in which it is sent to devices."""
    accuracy = intervals(measure_lists(lists, together.fold.target), config.seed)
    size = model_size(model, deployed) | served(model, together, adjustment)
    return {**size, **accuracy, **beyond_accuracy(lists, together.fold.train)}


def served(model: Recommender, together: Federation, adjustment: Adjustment | None = None) -> dict[str, Any]:
    """Return what a list costs, for the private user whose history has the median length."""
    history, ready = typical_history(together), adjustment or Adjustment()
    return list_cost(model, history, lambda scores: ready(scores, Asked(history, history))).summary()


def typical_history(together: Federation) -> Ragged:
    """Return the private user's history of median length, as one row."""
    known = together.fold.history.histories.take(together.private)
    return typical(known.take(np.flatnonzero(known.lengths > 0)))


def compared(lists: Mapping[str, Lists], config: Config, together: Federation) -> dict[str, Any]:
    """Return metrics by slices of users and items, and ratios to EASE, unless that finds nothing."""
    per_user = {name: measure_lists(found, together.fold.target) for name, found in lists.items()}
    measured = [row for row in IN_REPORT if row.name in lists]
    ratios = {
        f"{row.name}/{EASE}": {RATIO_METRIC: ratio(per_user[row.name], per_user[EASE], RATIO_METRIC, config.seed)}
        for row in measured
        if row.of_ease and EASE in lists and per_user[EASE].column(RATIO_METRIC).any()
    }
    parts = {row.name: slices(lists[row.name], together.fold, config.seed) for row in measured if row.sliced}
    return {"ratios": ratios, "slices": parts}


def distillation(lists: Mapping[str, Lists], config: Config, together: Federation) -> dict[str, Any]:
    """Return what shows whether distillation pays, all of one metric.

    ``of-teacher`` is the share of the teacher's mean that the student, and the student without a teacher, have;
    ``gain`` is what the student has more than it has without a teacher, paired over users.
    """
    shown = [name for name in ("teacher", "student", *ALONE) if name in lists]
    per_user = {name: measure_lists(lists[name], together.fold.target) for name in shown}
    values = {name: found.column(RATIO_METRIC) for name, found in per_user.items()}
    of_teacher = {
        name: ratio(per_user[name], per_user["teacher"], RATIO_METRIC, config.seed)
        for name in shown[1:]
        if values.get("teacher", np.zeros(1)).any()
    }
    gain = {
        name: mean_interval(values["student"] - values[name], config.seed)
        for name in ALONE
        if {name, "student"} <= values.keys() and len(values[name])
    }
    return {"metric": RATIO_METRIC, "of-teacher": of_teacher, "gain": gain}


def users_table(lists: Mapping[str, Lists], together: Federation) -> pd.DataFrame:
    """Return the quality of every model for every private user, one row a user, for paired comparisons."""
    per_user = {name: measure_lists(found, together.fold.target) for name, found in lists.items()}
    columns = {f"{name}.{RATIO_METRIC}": pd.Series(m.column(RATIO_METRIC), m.users) for name, m in per_user.items()}
    return pd.DataFrame(columns).rename_axis("user").reset_index()


def agreed(lists: Mapping[str, Lists]) -> dict[str, float]:
    """Return the share of their first ten items that student and teacher have in common."""
    if not {"teacher", "student"} <= lists.keys():
        return {}
    return {"agreement@10": agreement(lists["student"], lists["teacher"])}
