"""The student's quality as the devices tell it."""

from collections.abc import Iterable

import numpy as np
from flwr.app import Message
from flwr.common.logger import log

from fedkd.aggregation.aggregator import Aggregator
from fedkd.aggregation.sums import Sum
from fedkd.errors import DivergedError
from fedkd.evaluation.device import DEVICE_METRICS, averaged
from fedkd.evaluation.evaluator import PerUser
from fedkd.messages.missing import Missing
from server.requests import Requests

WARNING = 30


def quality_of_rows(requests: Requests, replies: Iterable[Message]) -> PerUser | None:
    """Return the metrics of every user, in the order of the clients; None where no client answered."""
    answers = requests.read(replies, Sum(DEVICE_METRICS), "evaluation-up-bytes")
    rows = [one.values["metrics"].values for one in answers]
    if not rows:
        return None
    table = np.concatenate(rows).astype(np.float64)
    return PerUser(np.arange(len(table)), table)


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
