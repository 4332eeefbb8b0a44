"""What a device measures of its own recommendations."""

import numpy as np
from numpy.typing import NDArray

from fedkd.data.fold import Fold
from fedkd.evaluation.metrics import METRICS, ranking_metrics
from fedkd.knowledge import Kind, Spec
from fedkd.ragged import Ragged, offsets

DEVICE_METRICS = {"metrics": Spec(Kind.STATISTICS, (-1, len(METRICS)), sums=False)}
"""One row of metrics for every user of a client who has a target."""


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
