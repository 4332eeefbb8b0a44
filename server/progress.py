"""The progress of a run, and its cost so far by client."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.privacy.mechanisms.base import ANSWERS, METRICS, PANEL
from fedkd.protocols.base import State

COUNTS = (
    "asked",
    "answered",
    "failed",
    "up-bytes",
    "down-bytes",
    "evaluation-up-bytes",
    "evaluation-down-bytes",
    "handshake-bytes",
    "catalogue-bytes",
)

RELEASES = (ANSWERS, PANEL, METRICS)


@dataclass(frozen=True)
class Progress:
    """The state and the counts of a run, everything that a checkpoint holds.

    Attributes
    ----------
    state : State
        The protocol's own state.
    round : int
        Rounds done.
    clients : dict of str to ndarray of int64, shape [registered clients]
        Counts and bytes by client, named as in ``COUNTS``.
    releases : dict of str to int
        Number of releases of each kind, from which epsilon is computed.
    seconds, teaching_seconds : float
        Time spent before and in the rounds, without evaluation, and the part of it in which the server taught.
    """

    state: State
    round: int
    clients: dict[str, NDArray[np.int64]]
    releases: dict[str, int]
    seconds: float = 0.0
    teaching_seconds: float = 0.0

    @classmethod
    def begin(cls, state: State, seconds: float = 0.0) -> "Progress":
        """Return the progress before the first round; the server may have taught for some seconds already."""
        counts = {name: np.zeros(state.setup.num_clients, np.int64) for name in COUNTS}
        return cls(state, 0, counts, dict.fromkeys(RELEASES, 0), seconds, seconds)

    def counted(self, name: str, clients: NDArray[np.int64], amount: NDArray[np.int64] | int = 1) -> "Progress":
        """Return the progress with an amount added to a count of some clients."""
        counts = self.clients[name].copy()
        counts[clients] += amount
        return replace(self, clients={**self.clients, name: counts})

    def released(self, kind: str) -> "Progress":
        """Return the progress with one more release of a kind."""
        return replace(self, releases={**self.releases, kind: self.releases[kind] + 1})

    def total(self, names: Iterable[str]) -> int:
        """Return the sum of some counts over all clients."""
        return sum(int(self.clients[name].sum()) for name in names)


Record = dict[str, Any]
"""One line of ``rounds.jsonl``."""


def round_record(
    before: Progress, after: Progress, failures: dict[str, int], metrics: Mapping[str, Any], seconds: float
) -> Record:
    """Return the cost and the metrics of a round, from the progress before and after it."""
    spent = {name: after.total([name]) - before.total([name]) for name in after.clients if name != "catalogue-bytes"}
    return {
        "round": after.round,
        "seconds": round(seconds, 4),
        "teaching-seconds": round(after.teaching_seconds - before.teaching_seconds, 4),
        "asked": spent["asked"],
        "answers": spent["answered"],
        "failures": failures,
        "metrics": {name: round(float(value), 6) for name, value in metrics.items()},
        "traffic": {name: spent[name] for name in spent if name.endswith("-bytes")},
    }
