"""Ranking metrics over the whole catalogue, exact and in batches.

Items of the history are never recommended; scores that tie are ordered by item id, smaller first. Recall divides by the
number of target items, the ideal DCG stops at ``min(k, targets)``; gains are binary (Järvelin and Kekäläinen 2002).
"""

import numpy as np
from numpy.typing import NDArray

from fedkd.errors import DivergedError
from fedkd.ragged import Ragged

METRICS = ("ndcg@10", "ndcg@20", "recall@10", "recall@20", "hr@10", "mrr@10")
DEPTH = 20
FEW = 1 << 20
"""Scores of a batch up to which NumPy finds the best ones soon enough."""

PRIMARY = "ndcg@20"
"""The metric by which models are chosen and compared in one number."""


def top_items(scores: NDArray[np.float32], seen: Ragged, depth: int = DEPTH) -> NDArray[np.int64]:
    """Return the best unseen items of every row, best first, shape [rows, depth].

    Parameters
    ----------
    scores : ndarray, shape [rows, items]
        Higher is better; every value finite.
    seen : Ragged of int
        Items of every row that must not be recommended. ``-1`` ends lists with fewer than ``depth`` others.
    depth : int
        Length of the lists; at most the number of items.

    Raises
    ------
    DivergedError
        A score is not finite.
    """
    if not np.isfinite(scores).all():
        raise DivergedError("its scores hold NaN or infinite values, which cannot be ranked")
    masked = scores.astype(np.float32, copy=True)
    masked[seen.row_index, seen.values] = -np.inf
    depth = min(depth, masked.shape[1])
    edge = _edge(masked, depth)
    above = np.flatnonzero(masked > edge)
    missing = depth - np.bincount(above // masked.shape[1], minlength=len(masked))
    places = np.append(above, _first(np.flatnonzero(masked == edge), masked.shape[1], missing))
    rows, items = np.divmod(places, masked.shape[1])
    order = np.lexsort((items, -masked[rows, items], rows))
    listed = items[order].reshape(len(masked), depth)
    return np.where(np.take_along_axis(masked, listed, axis=1) == -np.inf, -1, listed)


def _edge(scores: NDArray[np.float32], depth: int) -> NDArray[np.float32]:
    """Return the score of the last item of every list, shape [rows, 1].

    Torch is faster where many scores tie, but a service of a few lists at a time does without it.
    """
    if scores.size <= FEW:
        return np.asarray(np.partition(scores, -depth, axis=1)[:, [-depth]])
    import torch

    return np.asarray(torch.topk(torch.from_numpy(scores), depth, dim=1).values[:, -1:].numpy())


def _first(places: NDArray[np.int64], width: int, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return of ascending places in a flat matrix the first of every row, as many as ``counts`` says."""
    rows = places // width
    inside = np.arange(len(places)) - np.searchsorted(places, np.arange(len(counts)) * width)[rows]
    return places[inside < counts[rows]]


def hits(top: NDArray[np.int64], targets: Ragged, num_items: int) -> NDArray[np.bool_]:
    """Return whether listed items are targets of their row, shape [rows, depth]; ``-1`` never is."""
    keys = targets.row_index * num_items + targets.values
    listed = np.arange(len(top))[:, None] * num_items + top
    return np.isin(listed, keys) & (top >= 0)


def ranking_metrics(scores: NDArray[np.float32], seen: Ragged, targets: Ragged) -> NDArray[np.float64]:
    """Return the metrics named in ``METRICS`` of every row, shape [rows, metrics].

    Parameters
    ----------
    scores : ndarray, shape [rows, items]
    seen, targets : Ragged of int
        What is masked, and what is expected; every row needs a target.
    """
    found = hits(top_items(scores, seen), targets, scores.shape[1])
    return metrics_of_hits(found, targets.lengths)


def metrics_of_hits(found: NDArray[np.bool_], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the metrics of lists by the ranks that hold a target, shape [rows, metrics].

    Parameters
    ----------
    found : ndarray of bool, shape [rows, depth]
        Whether the item of each rank is a target.
    targets : ndarray of int64, shape [rows]
        How many targets a row has, at least one.
    """
    columns = {
        "ndcg@10": _ndcg(found, targets, 10),
        "ndcg@20": _ndcg(found, targets, 20),
        "recall@10": found[:, :10].sum(1) / targets,
        "recall@20": found[:, :20].sum(1) / targets,
        "hr@10": found[:, :10].any(1).astype(np.float64),
        "mrr@10": _reciprocal_rank(found[:, :10]),
    }
    return np.stack([columns[name] for name in METRICS], axis=1)


def _ndcg(found: NDArray[np.bool_], targets: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(targets, k) - 1]
    return np.asarray(found[:, :k] @ discount[: found.shape[1]] / ideal)


def _reciprocal_rank(found: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(found.any(1), 1.0 / (found.argmax(1) + 1.0), 0.0)
