"""The clients that one node hosts: a shard of a simulation, or the single owner of a device."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from flwr.app import Context
from numpy.typing import NDArray

from clients.device import read_device
from fedkd.cohort.cohort import Cohort
from fedkd.cohort.store import StateStore
from fedkd.config import Config, unflatten
from fedkd.data.fold import Fold
from fedkd.federation import federation, protection, shard
from fedkd.privacy.protection import Protection


class Holder(Protocol):
    """Whoever can say which users some clients hold."""

    def held_by(self, clients: NDArray[np.int64]) -> tuple[NDArray[np.int64], Fold]:
        """Return the position of each user's client, and the users' data."""


@dataclass(frozen=True)
class Host:
    """What a ClientApp works on.

    Attributes
    ----------
    config : Config
        The run's configuration.
    clients : ndarray of int64
        Ids of the clients hosted here, ascending.
    holder : Holder
        Their private data.
    store : StateStore
        What they keep between rounds, on disk.
    registered : int
        How many clients take part in all.
    """

    config: Config
    clients: NDArray[np.int64]
    holder: Holder
    store: StateStore
    registered: int

    @property
    def protection(self) -> Protection:
        """The noise that this run's clients add."""
        return protection(self.config, self.registered)

    def cohorts(self, clients: NDArray[np.int64], before_round: int) -> Iterator[Cohort]:
        """Yield the chosen clients in cohorts of the configured size, with what they kept from earlier rounds."""
        size = self.config.runtime.cohort_size
        for start in range(0, len(clients), size):
            chunk = clients[start : start + size]
            owner, data = self.holder.held_by(chunk)
            yield Cohort(chunk, owner, data, self.config.seed, self.store.load(chunk, before_round))


def open_host(context: Context) -> Host:
    """Return the host of a Flower node: its ``data-path`` makes it a device, ``partition-id`` a shard."""
    config = _config(tuple(sorted(context.run_config.items())))
    node = context.node_config
    if "data-path" in node:
        device = read_device(Path(str(node["data-path"])))
        return Host(config, np.array([device.client]), device, StateStore(device.folder / "state"), device.registered)
    together = federation(config)
    partition, count = int(node["partition-id"]), int(node["num-partitions"])
    clients = shard(together.partition.num_clients, partition, count)
    return Host(
        config, clients, together, StateStore(_state_folder(config, context.run_id)), together.partition.num_clients
    )


@lru_cache(maxsize=4)
def _config(items: tuple[tuple[str, bool | int | float | str], ...]) -> Config:
    return unflatten(dict(items))


def _state_folder(config: Config, run_id: int) -> Path:
    folder = config.runtime.run_folder or Path.cwd() / "runs" / f"flower-{run_id}"
    return folder / "client-states"
