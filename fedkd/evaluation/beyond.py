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
    bits = novelty_of_each(lists, train, k)
    return _mean(bits[~np.isnan(bits)])


def novelty_of_each(lists: Lists, train: Interactions, k: int = 10) -> NDArray[np.float64]:
    """Return the self-information of every recommended item, shape [users, k]; NaN where a list has ended."""
    share = np.maximum(train.popularity(), 1) / max(1, train.num_users)
    top = lists.items[:, :k]
    return np.where(top >= 0, -np.log2(share)[top], np.nan)


def diversity(lists: Lists, membership: NDArray[np.bool_], k: int = 10) -> float:
    """Return the mean distance (1 - cosine of categories) of two items of a list (Ziegler et al. 2005).

    Parameters
    ----------
    lists : Lists
        Lists with fewer than two items do not count.
    membership : ndarray of bool, shape [items, categories]
        An item without a category is at distance 1 from every other.
    """
    found = diversity_of_each(lists, membership, k)
    return _mean(found[~np.isnan(found)])


def diversity_of_each(lists: Lists, membership: NDArray[np.bool_], k: int = 10) -> NDArray[np.float64]:
    """Return the diversity of every list, shape [users]; NaN for those with fewer than two items."""
    norms = np.linalg.norm(membership, axis=1, keepdims=True)
    unit = np.vstack([membership / np.maximum(norms, 1.0), np.zeros(membership.shape[1])])  # the last row is for -1
    top = lists.items[:, :k]
    total = np.zeros((len(top), membership.shape[1]))
    own = np.zeros(len(top))
    for items in top.T:
        total += unit[items]
        own += np.square(unit[items]).sum(1)
    pairs = ((top >= 0).sum(1) * ((top >= 0).sum(1) - 1)).astype(np.float64)
    pairs[pairs == 0] = np.nan
    return np.asarray(1 - (np.square(total).sum(1) - own) / pairs)


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
