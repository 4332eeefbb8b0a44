"""Metrics that a device measures of its own recommendations, and the sums in which they leave it."""

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.data.fold import Fold
from fedkd.evaluation.metrics import METRICS, ranking_metrics
from fedkd.messages.types import Kind, Spec
from fedkd.ragged import Ragged, offsets

DEVICE_METRICS = {"metrics": Spec(Kind.STATISTICS, (-1, len(METRICS)), sums=False)}
"""One row of metrics for every user of a client who has a target."""

METRICS_SUM = {"metrics": Spec(Kind.STATISTICS, (len(METRICS) + 1,), clip=float(np.sqrt(len(METRICS) + 1)))}
"""A client's metrics, from 0 to 1 each, and a 1 that counts the client: summed and noised under protection."""

USERS_SUM = {"metrics": Spec(Kind.STATISTICS, (2 * len(METRICS) + 1,))}
"""A client's metrics, their squares, and 1, summed over its users: sent under masks where nothing is noised."""

TOLERANCE = 1e-3
"""By how much a mean of metrics may leave 0 to 1 because of the grid on which it was summed."""

CLEAR = 4.0
"""So many standard deviations of its noise the count of clients must reach, or the sums say nothing."""


def measure(scores: NDArray[np.float32], data: Fold, owner: NDArray[np.int64], num_clients: int) -> Ragged:
    """Return the metrics of every client's users, rows of clients with values of shape [users, metrics].

    Parameters
    ----------
    scores : ndarray, shape [users, items]
        The student's scores for every user's history.
    data : Fold
        The users' data.
    owner : ndarray of int64, shape [users]
        Position of each user's client, ascending.
    num_clients : int
        How many clients there are.
    """
    tested = np.flatnonzero(data.target.histories.lengths > 0)
    seen, targets = data.history.histories.take(tested), data.target.histories.take(tested)
    values = ranking_metrics(scores[tested], seen, targets).astype(np.float32)
    return Ragged(values, offsets(np.bincount(owner[tested], minlength=num_clients)))


def contributions(measured: Ragged) -> NDArray[np.float64]:
    """Return the contribution of every client to the sums of metrics, shape [clients, metrics + 1].

    Every client weighs the same, however many users it has: the mean of its users, and 1. One without a target adds
    nothing.
    """
    out = np.zeros((len(measured), len(METRICS) + 1))
    for client in np.flatnonzero(measured.lengths):
        out[client] = [*measured.take(np.array([client])).values.mean(axis=0), 1.0]
    return out


def users_sums(measured: Ragged) -> NDArray[np.float64]:
    """Return the sums that every client sends under masks: metrics of its users, their squares, and a count of users.

    Returns
    -------
    ndarray of float64, shape [clients, 2 * metrics + 1]
    """
    values = measured.values.astype(np.float64).reshape(-1, len(METRICS))
    table = np.hstack([values, values**2, np.ones((len(values), 1))])
    out = np.zeros((len(measured), table.shape[1]))
    np.add.at(out, measured.row_index, table)
    return out


def averaged(sums: NDArray[Any]) -> dict[str, dict[str, float]]:
    """Return means over users with 95 % intervals (normal) from the sum of what clients send under masks.

    Parameters
    ----------
    sums : ndarray, shape [2 * metrics + 1]
        As ``users_sums`` gives them, added up.

    Returns
    -------
    dict of str to dict
        Mean and ends by metric; empty where nobody was counted, or where the sums are impossible for users.
    """
    count = float(sums[-1])
    if count < 1:
        return {}
    means, squares = np.split(np.asarray(sums[:-1], np.float64) / count, 2)
    if np.any((means < -TOLERANCE) | (means > 1 + TOLERANCE)):
        return {}
    half = NormalDist().inv_cdf(0.975) * np.sqrt(np.maximum(squares - means**2, 0.0) / count)
    rows = zip(METRICS, means.tolist(), half.tolist(), strict=True)
    return {name: {"mean": mean, "low": mean - error, "high": mean + error} for name, mean, error in rows}


def estimated(sums: NDArray[Any], noise: float) -> dict[str, float]:
    """Return the means that noised sums of metrics tell, and the standard error that the noise alone gives them.

    Parameters
    ----------
    sums : ndarray, shape [metrics + 1]
        Of the metrics, and last of the clients who have any.
    noise : float
        Standard deviation of the noise on each of them.

    Returns
    -------
    dict of str to float
        ``ndcg@20`` and ``ndcg@20.noise``, and so on; empty where the count drowns in the noise.
    """
    *totals, count = (float(value) for value in sums)
    if count < max(1.0, CLEAR * noise):
        return {}
    means = {name: min(1.0, max(0.0, total / count)) for name, total in zip(METRICS, totals, strict=True)}
    return means | {f"{name}.noise": noise * float(np.hypot(1.0, mean)) / count for name, mean in means.items()}
