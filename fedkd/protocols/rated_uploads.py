"""Small sets of items with scores, which PTF-FedRec's clients upload and its server sends back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedkd.ragged import Ragged

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class UploadRule:
    """The rule by which a client chooses its uploads (Yuan et al., ICDE 2024, section III-D).

    Attributes
    ----------
    positives : tuple of float
        Bounds of the share ``beta`` of the positives that is uploaded, drawn anew every round.
    negatives : tuple of float
        Bounds of the number ``gamma`` of negatives for each uploaded positive, drawn anew every round.
    swapped : float
        Share of the uploaded positives whose score is swapped with that of a negative.
    """

    positives: tuple[float, float]
    negatives: tuple[float, float]
    swapped: float


def chosen(positives: Ints, negatives: Ints, rule: UploadRule, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Draw which positives and negatives (items) a client uploads, without replacement."""
    beta, gamma = rng.uniform(*rule.positives), rng.uniform(*rule.negatives)
    count = min(len(positives), max(1, round(beta * len(positives))))
    others = min(len(negatives), round(gamma * count))
    return rng.choice(positives, count, replace=False), rng.choice(negatives, others, replace=False)


def swap_top(positive: Floats, negative: Floats, share: float) -> tuple[Floats, Floats]:
    """Exchange the highest scores of positives and negatives, for ``share`` of the positives, best with best."""
    count = min(round(share * len(positive)), len(negative))
    positive, negative = positive.copy(), negative.copy()
    ours, theirs = (np.argsort(-scores, kind="stable")[:count] for scores in (positive, negative))
    positive[ours], negative[theirs] = negative[theirs], positive[ours]
    return positive, negative


def taught_items(scores: Floats, uploaded: NDArray[np.bool_], counts: Ints, limit: int) -> tuple[Ragged, Ragged]:
    """Choose the items whose scores the server sends to each client, among those that it never uploaded.

    One half are the items uploaded most often by all clients, the other those that the server scores highest for the
    client. The two kinds alternate, so that a client that keeps fewer items keeps both kinds.

    Parameters
    ----------
    scores : ndarray, shape [clients, items]
        The server's probabilities.
    uploaded : ndarray of bool, shape [clients, items]
        Uploads of each client so far.
    counts : ndarray of int64, shape [items]
        How often each item was uploaded by all clients together.
    limit : int
        Most items for one client.

    Returns
    -------
    items : Ragged of int32
    scores : Ragged of float32
    """
    rows = []
    for own, known in zip(scores, uploaded, strict=True):
        open_to = np.flatnonzero(~known)
        frequent = open_to[np.argsort(-counts[open_to], kind="stable")][: limit // 2]
        rest = np.setdiff1d(open_to, frequent)
        hard = rest[np.argsort(-own[rest], kind="stable")][: limit - limit // 2]
        turns = np.concatenate([2 * np.arange(len(frequent)), 2 * np.arange(len(hard)) + 1])
        rows.append(np.concatenate([frequent, hard])[np.argsort(turns)])
    items = Ragged.from_rows(rows, np.int32)
    return items, Ragged(scores[items.row_index, items.values].astype(np.float32), items.indptr)


def remembered(items: Ints, scores: Floats, new_items: Ints, new_scores: Floats) -> tuple[Ints, Floats]:
    """Join new scores to those that a client has; the latest score of an item counts."""
    old = ~np.isin(items, new_items)
    joined, values = np.concatenate([items[old], new_items]), np.concatenate([scores[old], new_scores])
    order = np.argsort(joined, kind="stable")
    return joined[order], values[order]
