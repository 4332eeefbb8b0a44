"""Metrics beyond accuracy: coverage of the catalogue, novelty, diversity, and agreement of two models."""

import numpy as np
from numpy.typing import NDArray

from fedkd.data.interactions import Interactions
from fedkd.evaluation.evaluator import Lists


def beyond_accuracy(lists: Lists, train: Interactions, k: int = 10) -> dict[str, float]:
    """Return ``coverage@k``, ``novelty@k`` and, where the catalogue has categories, ``diversity@k``."""
    out = {f"coverage@{k}": coverage(lists, train.num_items, k), f"novelty@{k}": novelty(lists, train, k)}
    if train.catalogue.categories:
        out[f"diversity@{k}"] = diversity(lists, train.catalogue.membership, k)
    return out


def coverage(lists: Lists, num_items: int, k: int = 10) -> float:
    """Return the share of the catalogue that is recommended to anybody."""
    top = lists.items[:, :k]
    return len(np.unique(top[top >= 0])) / num_items


def novelty(lists: Lists, train: Interactions, k: int = 10) -> float:
    """Return the mean self-information of recommended items in bits, ``-log2(users of the item / users)``.

    Items nobody touched count as touched by one user (Zhou et al. 2010).
    """
    share = np.maximum(train.popularity(), 1) / max(1, train.num_users)
    top = lists.items[:, :k]
    return _mean(-np.log2(share)[top[top >= 0]])


def diversity(lists: Lists, membership: NDArray[np.bool_], k: int = 10) -> float:
    """Return the mean distance (1 - cosine of categories) of two items of a list (Ziegler et al. 2005).

    Parameters
    ----------
    lists : Lists
        Lists with fewer than two items do not count.
    membership : ndarray of bool, shape [items, categories]
        An item without a category is at distance 1 from every other.
    """
    norms = np.linalg.norm(membership, axis=1, keepdims=True)
    unit = np.vstack([membership / np.maximum(norms, 1.0), np.zeros(membership.shape[1])])  # the last row is for -1
    top = lists.items[:, :k]
    total = np.zeros((len(top), membership.shape[1]))
    own = np.zeros(len(top))
    for items in top.T:
        total += unit[items]
        own += np.square(unit[items]).sum(1)
    pairs = (top >= 0).sum(1) * ((top >= 0).sum(1) - 1)
    some = pairs > 0
    return _mean(1 - (np.square(total).sum(1) - own)[some] / pairs[some])


def agreement(one: Lists, other: Lists, k: int = 10) -> float:
    """Return the mean share of the first ``k`` items that two models' lists for the same users have in common.

    Raises
    ------
    ValueError
        The lists are for different users.
    """
    if not np.array_equal(one.users, other.users):
        raise ValueError("agreement needs lists for the same users in the same order")
    a, b = one.items[:, :k], other.items[:, :k]
    common = ((a[:, :, None] == b[:, None, :]) & (a[:, :, None] >= 0)).sum((1, 2))
    return _mean(common / np.maximum(1, (a >= 0).sum(1)))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
