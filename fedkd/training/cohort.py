"""The clients that one process trains together."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.data.fold import Fold
from fedkd.models.base import ModelConfig
from fedkd.training.dp_sgd import GradientNoise

ClientState = Mapping[str, NDArray[Any]]
"""Named arrays that a client keeps between rounds, such as its student or its last contribution."""


@dataclass(frozen=True)
class Cohort:
    """Clients with one student shape; a deployed device is a cohort of one.

    Attributes
    ----------
    clients : ndarray of int64, shape [clients]
        Client ids, ascending.
    owner : ndarray of int64, shape [users]
        Position in ``clients`` of the client that holds each user of ``data``, ascending.
    data : Fold
        The private data of these clients, a row a user.
    seed : int
        The run's seed; a client's own training stream is ``stream(seed, purpose, round, client id)``.
    states : tuple of ClientState
        State of each client from earlier rounds, in the order of ``clients``; empty mappings at first.
    noise : GradientNoise, optional
        The constants of DP-SGD; students train without noise if there are none.
    model : ModelConfig, optional
        The student of these clients' device profile; without it they have the protocol's own.
    """

    clients: NDArray[np.int64]
    owner: NDArray[np.int64]
    data: Fold
    seed: int
    states: tuple[ClientState, ...] = field(default=())
    noise: GradientNoise | None = None
    model: ModelConfig | None = None

    def __len__(self) -> int:
        return len(self.clients)

    def with_states(self, states: tuple[ClientState, ...]) -> "Cohort":
        """Return the cohort with new states of its clients."""
        return replace(self, states=states)

    def take(self, rows: NDArray[np.int64]) -> "Cohort":
        """Return some of the clients, by ascending positions, with their users."""
        users = np.flatnonzero(np.isin(self.owner, rows))
        owner, states = np.searchsorted(rows, self.owner[users]), tuple(self.states[row] for row in rows)
        return replace(self, clients=self.clients[rows], owner=owner, data=self.data.take(users), states=states)
