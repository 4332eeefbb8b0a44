"""The student's quality as the devices tell it."""

from collections.abc import Iterable

import numpy as np
from flwr.app import Message
from flwr.common.logger import log
from numpy.typing import NDArray

from fedkd.aggregation.aggregator import Aggregator
from fedkd.aggregation.sums import Sum
from fedkd.errors import DivergedError
from fedkd.evaluation.device import DEVICE_METRICS, averaged
from fedkd.evaluation.evaluator import Interval, PerUser, intervals
from fedkd.messages.missing import Missing
from server.requests import Requests

WARNING = 30


def quality_of_rows(requests: Requests, replies: Iterable[Message]) -> PerUser | None:
    """Return the metrics of every user, in the order of the clients; None where no client answered."""
    answers = [*requests.read(replies, Sum(DEVICE_METRICS), "evaluation-up-bytes")]
    if not answers:
        return None
    table = np.concatenate([one.values["metrics"].values for one in answers]).astype(np.float64)
    clients = [np.repeat(one.clients, one.values["metrics"].lengths) for one in answers]
    return PerUser(np.arange(len(table)), table, np.concatenate(clients))


def by_profile(quality: PerUser, profiles: NDArray[np.str_], seed: int) -> dict[str, dict[str, Interval]]:
    """Return mean and 95 % interval of every metric for the users of every device profile; empty where none is known.

    Parameters
    ----------
    quality : PerUser
        What devices told of their users.
    profiles : ndarray of str, shape [registered clients]
        Every client's profile.
    seed : int
        Of the resampling.
    """
    own = np.zeros(0, np.str_) if quality.clients is None else profiles[quality.clients]
    parts = {str(name): own == name for name in np.unique(own)}
    return {name: intervals(PerUser(quality.users[p], quality.values[p]), seed) for name, p in parts.items()}


def quality_of_sum(requests: Requests, aggregator: Aggregator) -> dict[str, dict[str, float]]:
    """Ask for the sum over all users under masks; return means and intervals, nothing where there is no sum."""
    total = requests.total("evaluate", aggregator, "evaluation-up-bytes")
    return {} if total is None else averaged(aggregator.decode(total).values["metrics"].value)


def check_failures(requests: Requests, before: int, number: int) -> None:
    """Say that no client measured the student.

    Parameters
    ----------
    requests : Requests
        With the clients that failed in this round.
    before : int
        How many had failed before they were asked for metrics.
    number : int
        The round.

    Raises
    ------
    DivergedError
        The student's scores are not finite.
    """
    if Missing.NOT_FINITE in {failure.reason for failure in requests.reasons}:
        raise DivergedError("the student's scores are not finite")
    if len(requests.failures) > before:
        log(WARNING, "round %d: no client measured the student, so its quality has no number", number)
