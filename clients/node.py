"""The clients that one node hosts: a shard of a simulation, or the single owner of a device."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from flwr.app import Context
from numpy.typing import NDArray

from clients.catalogue import with_catalogue
from clients.device import Device, read_device
from clients.policy import INDIFFERENT, Terms
from fedkd.aggregation.aggregator import Aggregator, Masked, Specs
from fedkd.data.fold import Fold
from fedkd.messages.flower import pack_asks
from fedkd.messages.types import Asks
from fedkd.privacy.ledger_account import Account, open_ledger
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.runs.config import Config, dump, unflatten
from fedkd.runs.federation import Mechanisms, federation, mechanisms, shard, student_noise
from fedkd.training.client_states import StateStore
from fedkd.training.cohort import Cohort


class Holder(Protocol):
    """Whoever can say which users some clients hold."""

    def held_by(self, clients: NDArray[np.int64]) -> tuple[NDArray[np.int64], Fold]:
        """Return the position of each user's client, and the users' data."""

    def owner(self, client: int) -> str:
        """Return the lasting name of a client, under which its budget is kept."""


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
    folder : Path
        Where the ledger lies, if no other place is configured.
    source : str
        Names the data that budgets belong to.
    terms : Terms
        What the owner of a device insists on; a simulation insists on nothing.
    """

    config: Config
    clients: NDArray[np.int64]
    holder: Holder
    store: StateStore
    registered: int
    folder: Path
    source: str
    terms: Terms = INDIFFERENT

    @property
    def mechanisms(self) -> Mechanisms:
        """The privacy mechanisms of the run."""
        return mechanisms(self.config, self.registered)

    def account(self, mechanism: Mechanism) -> Account | None:
        """Return the account that the clients pay some releases from; None where they add no noise themselves."""
        if not mechanism.client_pays:
            return None
        return mechanism.account(self.folder, self.source, self.terms.budget, self.holder.owner)

    @property
    def student_account(self) -> Account | None:
        """What the clients pay from for noisy training of their students: a promise of its own, beside the answers'."""
        options, rounds = self.config.privacy.student, self.config.num_server_rounds
        if options.epsilon is None:
            return None
        limit = self.terms.budget or options.limit(rounds, self.config.privacy.adaptive)
        limit = replace(limit, adjacency=options.adjacency)
        path = self.config.privacy.ledger or self.folder / "privacy.ledger"
        book, name = open_ledger(path), f"{self.source}, students"
        return Account(book, name, options.cost(rounds), limit, options.mechanism(rounds), self.holder.owner)

    @property
    def is_masking(self) -> bool:
        """Whether a single answer must not be seen: on a device, unless the configuration allows it."""
        return isinstance(self.holder, Device) and self.config.privacy.masked

    def is_hiding(self, mechanism: Mechanism) -> bool:
        """Return whether nobody may see a device's own answer as it is: it is masked, or carries its noise."""
        return isinstance(self.holder, Device) and (self.is_masking or mechanism.client_pays)

    def aggregator(self, mechanism: Mechanism, plain: Specs) -> Aggregator:
        """Return the way of answers under a mechanism, with masks where this node must hide them."""
        bare = mechanism.aggregator(plain)
        return Masked(bare, mechanism.participants) if self.is_masking else bare

    def least(self, turn: int) -> int:
        """Return the fewest clients whose sum of a turn may be opened, so that it carries all its noise.

        Parameters
        ----------
        turn : int
            Of the secure sum, see ``fedkd.messages.flower.turn_of``.
        """
        planned = self.mechanisms
        others = [one for one in (planned.panel, planned.metrics) if one is not None]
        quorum = max(one.quorum for one in (others if turn % 2 and others else [planned.answers]))
        return max(self.config.privacy.minimum_cohort, self.terms.minimum_cohort, quorum)

    def question(self, kind: str, asks: Asks) -> str:
        """Name the release that answers a question: asked again, even by another run, it is answered as before."""
        data, layout = pack_asks(asks)
        about = json.dumps([kind, _settings(self.config), asks.round, layout], sort_keys=True, default=str)
        return f"{kind}, round {asks.round}, question {hashlib.sha256(about.encode() + data).hexdigest()[:32]}"

    def chunks(self, clients: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield the chosen clients in groups of the configured size."""
        size = self.config.runtime.cohort_size
        yield from (clients[start : start + size] for start in range(0, len(clients), size))

    def cohort(self, clients: NDArray[np.int64], before_round: int) -> Cohort:
        """Return some clients with their data and what they kept from earlier rounds."""
        owner, data = self.holder.held_by(clients)
        states = self.store.load(clients, before_round)
        return Cohort(clients, owner, data, self.config.seed, states, student_noise(self.config))


def open_host(context: Context) -> Host:
    """Return the host of a Flower node: its ``data-path`` makes it a device, ``partition-id`` a shard."""
    config = _config(tuple(sorted(context.run_config.items())))
    node = context.node_config
    if "data-path" in node:
        return _device_host(config, with_catalogue(read_device(Path(str(node["data-path"])))), Terms.of_node(node))
    together = federation(config)
    partition, count = int(node["partition-id"]), int(node["num-partitions"])
    clients = shard(together.partition.num_clients, partition, count)
    folder, registered = _run_folder(config, context.run_id), together.partition.num_clients
    return Host(config, clients, together, StateStore(folder / "client-states"), registered, folder, config.data.name)


def _device_host(config: Config, device: Device, terms: Terms) -> Host:
    """Return the host of a device, whose ledger and whose students of other settings are not the server's to choose."""
    config = config.model_copy(update={"privacy": config.privacy.model_copy(update={"ledger": None})})
    settings = json.dumps(_settings(config), sort_keys=True, default=str).encode()
    store = StateStore(device.folder / "state" / hashlib.sha256(settings).hexdigest()[:16])
    clients, folder = np.array([device.client]), device.folder
    return Host(config, clients, device, store, device.registered, folder, "device", terms)


def _settings(config: Config) -> dict[str, object]:
    """Return what of a configuration decides about answers."""
    return {key: value for key, value in dump(config).items() if key not in ("runtime", "evaluation")}


@lru_cache(maxsize=4)
def _config(items: tuple[tuple[str, bool | int | float | str], ...]) -> Config:
    return unflatten(dict(items))


def _run_folder(config: Config, run_id: int) -> Path:
    return config.runtime.run_folder or Path.cwd() / "runs" / f"flower-{run_id}"
