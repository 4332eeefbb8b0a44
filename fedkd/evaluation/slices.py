"""Metrics by slice: by length of the history, and by popularity of the target."""

import numpy as np
from numpy.typing import NDArray

from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.evaluation.evaluator import Interval, Lists, PerUser, intervals, measure_lists

HISTORY_LENGTHS = {"1-9": 1, "10-19": 10, "20-49": 20, "50-99": 50, "100+": 100}
"""The slices by history, with the shortest history of each."""

POPULARITY = ("head", "mid", "tail")
"""The slices by target: a third of all training interactions each, from the most popular items down."""


def slices(lists: Lists, fold: Fold, seed: int = 0) -> dict[str, dict[str, Interval]]:
    """Return the metrics of every slice, by history and by popularity, as ``summary.json`` holds them for a model."""
    return by_history(measure_lists(lists, fold.target), fold, seed) | by_popularity(lists, fold, seed)


def by_history(per_user: PerUser, fold: Fold, seed: int = 0) -> dict[str, dict[str, Interval]]:
    """Return the metrics of users by the length of their history; slices without users are absent."""
    return {name: intervals(part, seed) for name, part in history_slices(per_user, fold).items()}


def history_slices(per_user: PerUser, fold: Fold) -> dict[str, PerUser]:
    """Return the users of every slice by the length of their history; slices without users are absent."""
    lengths = fold.history.histories.lengths[per_user.users]
    slice_of = np.searchsorted(list(HISTORY_LENGTHS.values()), lengths, side="right") - 1
    parts = {name: slice_of == index for index, name in enumerate(HISTORY_LENGTHS)}
    return {
        f"history {name}": PerUser(per_user.users[part], per_user.values[part])
        for name, part in parts.items()
        if part.any()
    }


def by_popularity(lists: Lists, fold: Fold, seed: int = 0) -> dict[str, dict[str, Interval]]:
    """Return the metrics with only the head, mid or tail items as targets; slices without targets are absent."""
    measured = {name: measure_lists(lists, target) for name, target in popularity_targets(fold).items()}
    return {name: intervals(per_user, seed) for name, per_user in measured.items() if len(per_user.users)}


def popularity_targets(fold: Fold) -> dict[str, Interactions]:
    """Return the targets among the head, mid and tail items."""
    group = popularity_groups(fold.train)[fold.target.histories.values]
    return {f"{name} items": fold.target.where(group == index) for index, name in enumerate(POPULARITY)}


def popularity_groups(train: Interactions) -> NDArray[np.int64]:
    """Return the group of every item, shape [items]: 0 head, 1 mid, 2 tail, of equal interaction mass.

    An item belongs where the middle of its own mass lies, counted from the most popular item on; ties are ordered by
    item, and items nobody touched are tail.
    """
    counts = train.popularity()
    order = np.argsort(-counts, kind="stable")
    middle = np.cumsum(counts[order]) - counts[order] / 2
    group = np.empty(len(counts), np.int64)
    group[order] = np.minimum(middle * len(POPULARITY) / max(1, counts.sum()), len(POPULARITY) - 1).astype(np.int64)
    group[counts == 0] = len(POPULARITY) - 1
    return group
