"""Measuring a model on many users, a batch at a time, with means and intervals over them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.evaluation.metrics import DEPTH, METRICS, hits, metrics_of_hits, top_items
from fedkd.models.base import Recommender, score
from fedkd.ragged import Ragged
from fedkd.random_streams import stream

Scorer = Callable[[Ragged, NDArray[np.int64]], NDArray[np.float32]]
"""Histories and the users (positions) they belong to in, scores of shape [rows, items] out."""

Interval = dict[str, float]
"""``mean`` with the ends ``low`` and ``high`` of its 95 % interval."""

RESAMPLES = 1000

AT_ONCE = 1 << 16
"""Rows drawn at once, so that memory does not grow with the number of users."""


@dataclass(frozen=True)
class Lists:
    """The recommendations of a model.

    Attributes
    ----------
    users : ndarray of int64, shape [users]
        Positions of the users.
    items : ndarray of int64, shape [users, depth]
        Best first; ``-1`` where nothing is left to recommend.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]


@dataclass(frozen=True)
class PerUser:
    """The metrics of every evaluated user.

    Attributes
    ----------
    users : ndarray of int64, shape [users]
        Positions of the users.
    values : ndarray of float64, shape [users, metrics]
        Columns are those of ``METRICS``.
    clients : ndarray of int64, shape [users], optional
        Who holds each user, where devices told of them.
    """

    users: NDArray[np.int64]
    values: NDArray[np.float64]
    clients: NDArray[np.int64] | None = None

    def means(self) -> dict[str, float]:
        """Return the mean of every metric; 0 if nobody was evaluated."""
        means = self.values.mean(axis=0) if len(self.users) else np.zeros(len(METRICS))
        return dict(zip(METRICS, map(float, means), strict=True))

    def column(self, metric: str) -> NDArray[np.float64]:
        """Return one metric of every user."""
        return self.values[:, METRICS.index(metric)]


def model_scores(model: Recommender) -> Scorer:
    """Return a model as a scorer; it needs no user."""
    return lambda histories, users: score(model, histories)


def recommend(
    scorer: Scorer,
    fold: Fold,
    users: NDArray[np.int64] | None = None,
    batch_size: int = 512,
    watch: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> Lists:
    """Return the best unseen items of users who have a target; the scores of one batch at a time stand in memory.

    Parameters
    ----------
    scorer : callable
        Returns scores for histories.
    fold : Fold
        Histories and targets.
    users : ndarray of int64, optional
        Positions of the users; all by default. Those without a target are left out.
    batch_size : int
        Users in a batch.
    watch : callable
        Passes on the positions at which batches begin, and may show how many there are.
    """
    chosen = np.arange(fold.target.num_users) if users is None else users
    chosen = chosen[fold.target.histories.lengths[chosen] > 0]
    items = np.empty((len(chosen), min(DEPTH, fold.target.num_items)), np.int64)
    for start in watch(range(0, len(chosen), batch_size)):
        batch = chosen[start : start + batch_size]
        histories = fold.history.histories.take(batch)
        items[start : start + batch_size] = top_items(scorer(histories, batch), histories, items.shape[1])
    return Lists(chosen, items)


def measure_lists(lists: Lists, target: Interactions) -> PerUser:
    """Compare lists with the targets of their users; users whose target is empty are left out."""
    kept = target.histories.lengths[lists.users] > 0
    users, items = lists.users[kept], lists.items[kept]
    targets = target.histories.take(users)
    return PerUser(users, metrics_of_hits(hits(items, targets, target.num_items), targets.lengths))


def evaluate(scorer: Scorer, fold: Fold, users: NDArray[np.int64] | None = None, batch_size: int = 512) -> PerUser:
    """Measure a scorer on users who have a target; parameters as in ``recommend``."""
    return measure_lists(recommend(scorer, fold, users, batch_size), fold.target)


def intervals(per_user: PerUser, seed: int = 0) -> dict[str, Interval]:
    """Return mean and 95 % percentile-bootstrap interval over users of every metric."""
    if not len(per_user.users):
        return {metric: {"mean": 0.0, "low": 0.0, "high": 0.0} for metric in METRICS}
    means = _resampled_means(per_user.values, seed)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    rows = zip(METRICS, per_user.values.mean(axis=0), low, high, strict=True)
    return {metric: {"mean": float(m), "low": float(lo), "high": float(hi)} for metric, m, lo, hi in rows}


def mean_interval(values: NDArray[np.float64], seed: int = 0) -> Interval:
    """Return the mean of one number for each user with its 95 % percentile-bootstrap interval, shape [users]."""
    low, high = np.quantile(_resampled_means(values[:, None], seed), [0.025, 0.975])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def ratio(above: PerUser, below: PerUser, metric: str, seed: int = 0) -> Interval:
    """Return the ratio of two models' means with its 95 % interval; users are resampled jointly.

    Raises
    ------
    ValueError
        The models were measured on different users, or the mean below is zero.
    """
    if not np.array_equal(above.users, below.users):
        raise ValueError("a ratio needs the same users in the same order")
    if not below.column(metric).any():
        raise ValueError(f"{metric} of the model below is zero for every user; a ratio to it has no meaning")
    both = np.stack([above.column(metric), below.column(metric)], axis=1)
    means = _resampled_means(both, seed)
    means = means[means[:, 1] > 0]  # few users: a resample may miss every one with a hit
    low, high = np.quantile(means[:, 0] / means[:, 1], [0.025, 0.975])
    mean = both.mean(axis=0)
    return {"mean": float(mean[0] / mean[1]), "low": float(low), "high": float(high)}


def over_seeds(means: NDArray[np.float64]) -> Interval:
    """Return the mean over seeds with its 95 % interval by Student's t; one seed has no interval."""
    mean = float(np.mean(means))
    if len(means) < 2:
        return {"mean": mean, "low": mean, "high": mean}
    half = float(stdtrit(len(means) - 1, 0.975) * np.std(means, ddof=1) / np.sqrt(len(means)))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _resampled_means(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return the means of bootstrap resamples of the rows, shape [resamples, columns]."""
    rng, users = stream(seed, "bootstrap"), len(values)
    group = max(1, AT_ONCE // users)
    sizes = [min(group, RESAMPLES - done) for done in range(0, RESAMPLES, group)]
    return np.concatenate([_resampled(values, rng.integers(0, users, (size, users))) for size in sizes])


def _resampled(values: NDArray[np.float64], drawn: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the means of the drawn rows, shape [resamples, columns]."""
    resamples, users = drawn.shape
    places = drawn + users * np.arange(resamples)[:, None]
    weights = np.bincount(places.ravel(), minlength=resamples * users).reshape(resamples, 1, users)
    return np.asarray((weights.astype(np.float64) @ values)[:, 0] / users)
