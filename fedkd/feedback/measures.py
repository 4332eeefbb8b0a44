"""Measures of an iteration: what the lists are worth in truth, and what the loop does to users and catalogue."""

import numpy as np
from numpy.typing import NDArray

from fedkd.feedback.world import Floats, Ints, Marks


def gini(items: Ints, num_items: int) -> float:
    """Return how unequally items are shown: 0 where all are shown alike, nearly 1 where one item is."""
    counts = np.sort(np.bincount(items.ravel(), minlength=num_items)).astype(np.float64)
    ranks = np.arange(1, num_items + 1)
    return float((2 * ranks - num_items - 1) @ counts / (num_items * counts.sum()))


def popularity_lift(items: Ints, popularity: Ints, history_popularity: Floats) -> float:
    """Return how much more popular the listed items are than those of the users' own histories, as a share.

    Parameters
    ----------
    items : ndarray of int64, shape [lists, places]
    popularity : ndarray of int64, shape [items]
        Users of every item.
    history_popularity : ndarray, shape [lists]
        The mean popularity of a user's own items; users with none are NaN and do not count.
    """
    known = np.isfinite(history_popularity)
    return float(popularity[items[known]].mean() / history_popularity[known].mean() - 1)


def within_users(items: Ints, genre: Ints) -> float:
    """Return the diversity inside lists: the share of pairs of a list that are of different genres."""
    same = (genre[items][:, :, None] == genre[items][:, None, :]).sum((1, 2)) - items.shape[1]
    pairs = items.shape[1] * (items.shape[1] - 1)
    return float(1 - (same / pairs).mean()) if pairs else 0.0


def between_users(items: Ints, num_items: int) -> float:
    """Return the diversity between users: 1 less the mean share of items that two users' lists have in common."""
    lists, places = items.shape
    counts = np.bincount(items.ravel(), minlength=num_items).astype(np.float64)
    common = (counts * (counts - 1)).sum()  # over ordered pairs of lists
    return float(1 - common / (lists * (lists - 1) * places)) if lists > 1 else 0.0


def smallest(community: NDArray[np.int64], users: Ints, share: float = 0.25) -> Marks:
    """Return which users are of the smallest communities that hold together at most a share of all, shape [users]."""
    size = np.bincount(community)
    order = np.argsort(size, kind="stable")
    minority = order[np.cumsum(size[order]) <= share * size.sum()]
    return np.isin(community[users], minority if len(minority) else order[:1])
