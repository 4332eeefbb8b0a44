"""The clients that one node hosts: a shard of a simulation, or the single owner of a device."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from flwr.app import Context, Message
from numpy.typing import NDArray

from clients.catalogue import with_catalogue
from clients.device import Device, read_device
from clients.policy import SIMULATION_POLICY, ClientPolicy
from fedkd.aggregation.aggregator import Aggregator, Specs
from fedkd.aggregation.masked import Masked
from fedkd.data.fold import Fold
from fedkd.messages.flower import pack_asks
from fedkd.messages.types import Asks
from fedkd.privacy.ledger_account import Account, open_ledger
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.registry import ALLOWED
from fedkd.runs.config import Config, dump, unflatten
from fedkd.runs.federation import Mechanisms, federation, mechanisms, shard, student_noise
from fedkd.runs.folder import run_path
from fedkd.training.client_states import StateStore
from fedkd.training.cohort import Cohort
from fedkd.training.profiles import in_cohorts


class DataHolder(Protocol):
    """The private data of some clients: a device's, or a whole simulation's."""

    def held_by(self, clients: NDArray[np.int64]) -> tuple[NDArray[np.int64], Fold]:
        """Return the position of each user's client, and the users' data."""

    def profiles(self, clients: NDArray[np.int64], config: Config) -> NDArray[np.str_]:
        """Return the profile of every client's device; empty where the run has none."""

    def owner(self, client: int) -> str:
        """Return the lasting name of a client, under which its budget is kept."""


@dataclass(frozen=True)
class ClientNode:
    """A Flower node with its clients, their data and the conditions of a run.

    Attributes
    ----------
    config : Config
        The run's configuration.
    clients : ndarray of int64
        Ids of the clients hosted here, ascending.
    holder : DataHolder
        Their private data.
    store : StateStore
        Their states between rounds, on disk.
    registered : int
        Number of clients of the whole run.
    folder : Path
        The folder of the ledger, if the configuration names no other.
    source : str
        Name of the data that budgets belong to.
    policy : ClientPolicy
        The conditions of the device's owner; a simulation has none.
    run : str
        The run's name at a device, which keeps its students by it.
    """

    config: Config
    clients: NDArray[np.int64]
    holder: DataHolder
    store: StateStore
    registered: int
    folder: Path
    source: str
    policy: ClientPolicy = SIMULATION_POLICY
    run: str = ""

    @property
    def mechanisms(self) -> Mechanisms:
        """The privacy mechanisms of the run."""
        return mechanisms(self.config, self.registered)

    def account(self, mechanism: Mechanism) -> Account | None:
        """Return the account from which clients pay for releases; None where they add no noise themselves."""
        if not mechanism.client_pays:
            return None
        return mechanism.account(self.folder, self.source, self.policy.budget, self.holder.owner)

    @property
    def student_account(self) -> Account | None:
        """The account for noisy training of students, a guarantee separate from that of the answers."""
        options, rounds = self.config.privacy.student, self.config.num_server_rounds
        if options.epsilon is None:
            return None
        limit = self.policy.budget or options.limit(rounds, self.config.privacy.adaptive)
        limit = replace(limit, adjacency=options.adjacency)
        path = self.config.privacy.ledger or self.folder / "privacy.ledger"
        book, name = open_ledger(path), f"{self.source}, students"
        return Account(book, name, options.cost(rounds), limit, options.mechanism(rounds), self.holder.owner)

    @property
    def is_masking(self) -> bool:
        """Whether the server may see only sums: on a device, unless the configuration shows single answers."""
        return isinstance(self.holder, Device) and self.config.privacy.masked

    def is_hiding(self, mechanism: Mechanism) -> bool:
        """Return whether a device's raw answer must stay hidden: it is masked, or carries its own noise."""
        return isinstance(self.holder, Device) and (self.is_masking or mechanism.client_pays)

    def aggregator(self, mechanism: Mechanism, plain: Specs) -> Aggregator:
        """Return the aggregator of a mechanism's answers, with masks where this node must hide them."""
        bare = mechanism.aggregator(plain)
        return Masked(bare, mechanism.participants) if self.is_masking else bare

    def least(self, turn: int) -> int:
        """Return the fewest clients whose sum may be opened, so that it carries all its noise.

        Parameters
        ----------
        turn : int
            The turn of the secure sum, see ``fedkd.messages.flower.turn_of``.
        """
        planned = self.mechanisms
        others = [one for one in (planned.panel, planned.metrics) if one is not None]
        quorum = max(one.quorum for one in (others if turn % 2 and others else [planned.answers]))
        return max(self.config.privacy.minimum_cohort, self.policy.minimum_cohort, quorum)

    def question(self, kind: str, asks: Asks, run: str = "") -> str:
        """Return the name of the release that answers a question; equal questions get the same answer.

        Parameters
        ----------
        kind : str
            The kind of release.
        asks : Asks
            The question.
        run : str
            The run that asks, where its answers are summed under masks: another run, in which others may take part,
            asks another question. Empty where the answer leaves as it is, so that repeating it shows nothing new.
        """
        data, layout = pack_asks(asks)
        context = json.dumps([kind, _settings(self.config), asks.round, layout, run], sort_keys=True, default=str)
        return f"{kind}, round {asks.round}, question {hashlib.sha256(context.encode() + data).hexdigest()[:32]}"

    def chunks(self, clients: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield the chosen clients in groups of one device profile, and of at most the configured size."""
        profiles = self.holder.profiles(clients, self.config)
        return in_cohorts(clients, profiles, self.config.runtime.cohort_size)

    def cohort(self, clients: NDArray[np.int64], before_round: int) -> Cohort:
        """Return some clients of one profile with their data and their states from earlier rounds."""
        owner, data = self.holder.held_by(clients)
        states = self.store.load(clients, before_round)
        model = self.config.clients.model(self.holder.profiles(clients, self.config))
        return Cohort(clients, owner, data, self.config.seed, states, student_noise(self.config), model)


def is_device(context: Context) -> bool:
    """Return whether a Flower node is a device, with a ``data-path``, or a simulated shard, with a ``partition-id``."""
    return "data-path" in context.node_config


def open_node(context: Context, message: Message | None = None) -> ClientNode:
    """Return a Flower node's clients, for a message of a run whose states they need."""
    config, own = _config(tuple(sorted(context.run_config.items())), ALLOWED.get()), context.node_config
    if is_device(context):
        device = with_catalogue(read_device(Path(str(own["data-path"]))))
        return device_node(
            config, device, ClientPolicy.of_node(own), "" if message is None else message.metadata.group_id
        )
    together = federation(config)
    registered = together.partition.num_clients
    clients = shard(registered, int(own["partition-id"]), int(own["num-partitions"]))
    folder = run_path(config, context.run_id)
    store = StateStore(folder / "client-states")
    return ClientNode(config, clients, together, store, registered, folder, config.data.name)


def device_node(config: Config, device: Device, policy: ClientPolicy, run: str = "") -> ClientNode:
    """Return the node of a device; the server chooses neither its ledger nor the students of other settings or runs."""
    config = config.model_copy(update={"privacy": config.privacy.model_copy(update={"ledger": None})})
    store = StateStore(device.folder / "state" / _name_of_states(config, device.profile, run))
    clients, folder = np.array([device.client]), device.folder
    return ClientNode(config, clients, device, store, device.registered, folder, "device", policy, run)


@lru_cache(maxsize=64)
def _name_of_states(config: Config, profile: str, run: str) -> str:
    """Return the name under which a device keeps the students of some settings, of its profile, and of a run."""
    settings = json.dumps([_settings(config), profile, run], sort_keys=True, default=str).encode()
    return hashlib.sha256(settings).hexdigest()[:16]


def _settings(config: Config) -> dict[str, object]:
    """Return the part of a configuration on which answers depend."""
    return {key: value for key, value in dump(config).items() if key not in ("runtime", "evaluation")}


@lru_cache(maxsize=4)
def _config(items: tuple[tuple[str, bool | int | float | str], ...], allowed: tuple[str, ...] | None) -> Config:
    del allowed  # what was read with others allowed is read again
    return unflatten(dict(items))
