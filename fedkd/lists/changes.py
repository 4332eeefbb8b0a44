"""Changes that steps make in the lists of the same users: losses and gains, paired."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.data.fold import Fold
from fedkd.evaluation.beyond import coverage, diversity_of_each, novelty_of_each
from fedkd.evaluation.evaluator import Lists, mean_interval, measure_lists
from fedkd.evaluation.metrics import PRIMARY
from fedkd.evaluation.slices import popularity_targets

K = 10
TAIL = "recall@20"


def aspects(lists: Lists, fold: Fold) -> dict[str, NDArray[np.float64]]:
    """Return properties of every list, each of shape [users that have it], in the order of the users.

    NDCG@20 of everybody; ``recall@20, tail`` of those with a target among the tail items; novelty and, where the
    catalogue has categories, diversity of the first ten items.
    """
    tail = measure_lists(lists, popularity_targets(fold)["tail items"])
    found = {
        PRIMARY: measure_lists(lists, fold.target).column(PRIMARY),
        f"{TAIL}, tail": tail.column(TAIL),
        f"novelty@{K}": _row_means(novelty_of_each(lists, fold.train, K)),
    }
    if fold.train.catalogue.categories:
        found[f"diversity@{K}"] = diversity_of_each(lists, fold.train.catalogue.membership, K)
    return found


def changes(before: Lists, after: Lists, fold: Fold) -> dict[str, dict[str, Any]]:
    """Return of every property the mean before and after, and the interval of the change, paired over users.

    Coverage is of all lists together and has no interval.

    Parameters
    ----------
    before, after : Lists
        Of the same users.
    fold : Fold
        What is measured against.
    """
    one, other = aspects(before, fold), aspects(after, fold)
    items = fold.train.num_items
    covered = {"before": coverage(before, items, K), "after": coverage(after, items, K)}
    told = {name: _change(one[name], other[name]) for name in one}
    return {**{name: row for name, row in told.items() if row}, f"coverage@{K}": covered}


def _row_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of rows without what is NaN; NaN of rows that are so altogether."""
    counts = (~np.isnan(values)).sum(1).astype(np.float64)
    counts[counts == 0] = np.nan
    return np.asarray(np.nansum(values, axis=1) / counts)


def change_text(row: Mapping[str, Any]) -> str:
    """Return a change for people: ``-0.0022 (-0.0045 to -0.0000)``; without an interval where it has none."""
    found = row.get("change")
    interval = "" if found is None else f" ({found['low']:+.4f} to {found['high']:+.4f})"
    return f"{row['after'] - row['before']:+.4f}{interval}"


def _change(before: NDArray[np.float64], after: NDArray[np.float64]) -> dict[str, Any]:
    both = ~(np.isnan(before) | np.isnan(after))
    if not both.any():
        return {}
    means = {"before": float(before[both].mean()), "after": float(after[both].mean())}
    return {**means, "change": mean_interval(after[both] - before[both])}
