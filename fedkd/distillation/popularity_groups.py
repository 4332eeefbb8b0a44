"""Groups of equally popular items, and pairs inside them as the teacher ranks them."""

import numpy as np
from numpy.typing import NDArray


def popularity_groups(popularity: NDArray[np.number], groups: int) -> list[NDArray[np.int64]]:
    """Return items in groups of about the same number of interactions, the least popular items first.

    Parameters
    ----------
    popularity : ndarray, shape [items]
        Interactions of every item.
    groups : int
        At most so many; a group has two items at least.

    Returns
    -------
    list of ndarray of int64
        Item positions.
    """
    order = np.argsort(popularity, kind="stable")
    mass = np.cumsum(popularity[order], dtype=np.float64)
    total = mass[-1] if len(mass) and mass[-1] > 0 else 1.0
    number = np.minimum((mass - popularity[order] / 2) / total * groups, groups - 1).astype(np.int64)
    parts = [order[number == group] for group in range(groups)]
    return [part for part in parts if len(part) > 1]


def group_pairs(
    scores: NDArray[np.floating], groups: list[NDArray[np.int64]], pairs: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw pairs of items inside every group, and order each by the teacher.

    The better item of a pair is drawn near the top of the teacher's ranking of the group, with a probability that falls
    with its rank as ``exp(-rank / size)``; the other one uniformly (Chen et al., WSDM 2023, section 4.2).

    Parameters
    ----------
    scores : ndarray, shape [rows, items]
        The teacher's.
    groups : list of ndarray of int64
        See `popularity_groups`.
    pairs : int
        Pairs of a group.
    rng : numpy.random.Generator
        Generator of the pairs.

    Returns
    -------
    better, worse : ndarray of int64, shape [rows, groups, pairs]
        Item positions, as `fedkd.losses.popularity_groups.group_pairs_loss` takes them.
    """
    drawn = [_pairs(scores[:, group], pairs, rng) for group in groups]
    better, worse = (
        np.stack([group[ranks] for group, ranks in zip(groups, side, strict=True)], axis=1)
        for side in zip(*drawn, strict=True)
    )
    return better, worse


def _pairs(
    scores: NDArray[np.floating], pairs: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return places inside one group, better and worse, shape [rows, pairs] each."""
    size = scores.shape[1]
    chance = np.exp(-np.arange(size) / size)
    high = rng.choice(size, (len(scores), pairs), p=chance / chance.sum())
    low = (high + rng.integers(1, size, high.shape)) % size
    order = np.argsort(-scores, axis=1, kind="stable")
    first, second = np.minimum(high, low), np.maximum(high, low)
    return np.take_along_axis(order, first, 1), np.take_along_axis(order, second, 1)
