"""A simulated federation: one data set, split and divided among public users and clients."""

import hashlib
import json
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedkd.data.fold import Fold, Partition, Split
from fedkd.data.options import PartitionOptions, SplitOptions
from fedkd.data.partition import partition as deal
from fedkd.data.sources.base import Loaded, Source
from fedkd.data.splits import split as divide
from fedkd.errors import UserError
from fedkd.privacy.mechanisms.base import ANSWERS, METRICS, PANEL, Mechanism
from fedkd.privacy.options import PrivacyOptions
from fedkd.protocols.base import Setup
from fedkd.runs.config import Config
from fedkd.training.dp_sgd import GradientNoise


@dataclass(frozen=True)
class Federation:
    """The whole data of a simulation, of the server and of all clients.

    Attributes
    ----------
    loaded : Loaded
        The cleaned data and what cleaning dropped.
    split : Split
        The split of the data into parts.
    fold : Fold
        The parts that this run trains and measures on, for all users.
    partition : Partition
        The public users, and the users of each client.
    """

    loaded: Loaded
    split: Split
    fold: Fold
    partition: Partition

    @property
    def private(self) -> NDArray[np.int64]:
        """Positions of all private users, in the order of their clients."""
        return self.partition.clients.values

    def setup(self, config: Config, releases: int | None = None) -> Setup:
        """Return the part that a server may know; ``releases`` as of ``mechanisms``."""
        answers = mechanisms(config, self.partition.num_clients, releases).answers
        return Setup(
            public=self.fold.train.take(self.partition.public),
            num_clients=self.partition.num_clients,
            num_private_users=len(self.private),
            num_rounds=config.num_server_rounds,
            seed=config.seed,
            participants=answers.participants,
            answer_budget=answers.answer_budget,
            ordered=config.split.ordered,
        )

    def held_by(self, clients: NDArray[np.int64]) -> tuple[NDArray[np.int64], Fold]:
        """Return the users of some clients: for each user the position of its client, and the users' data."""
        users = self.partition.clients.take(clients)
        return users.row_index, self.fold.take(users.values)

    def profiles(self, clients: NDArray[np.int64], config: Config) -> NDArray[np.str_]:
        """Return the device profile of some clients, shape [clients], by the data's column or by shares.

        Raises
        ------
        UserError
            The column names a profile that there is not, or the users of one client have several.
        """
        told, known = self.fold.train.profiles, config.clients.profiles
        if not known or told is None:
            return config.clients.dealt(clients, config.seed)
        users = self.partition.clients.take(clients)
        found = told[users.values]
        if unknown := {*found.tolist()} - known.keys():
            raise UserError(
                f"data.profile-column holds {len(unknown)} names beside {', '.join(known)}, which clients.profiles "
                'has; name these profiles there, or name no column with data.profile-column=""'
            )
        first = found[users.indptr[:-1]]
        if not np.array_equal(first[users.row_index], found):
            raise UserError(
                "data.profile-column gives users of one client several profiles, and a client is one device; give "
                "them one, or set partition.clients=users"
            )
        return np.asarray(first)

    def owner(self, client: int) -> str:
        """Return the lasting name of a client: its user's name, or a digest of all names where it has several users.

        Client numbers change with the seed, but a budget must always belong to the same users.
        """
        users = sorted(map(str, self.fold.train.users[self.partition.clients.take(np.array([client])).values]))
        return users[0] if len(users) == 1 else hashlib.sha256(json.dumps(users).encode()).hexdigest()


def federation(config: Config) -> Federation:
    """Load, split and divide the data of a configuration; the latest few results are cached."""
    seeded = (config.seed, config.evaluation.target)
    return _federation(config.data, config.split, config.partition, *seeded)


@dataclass(frozen=True)
class Mechanisms:
    """The privacy mechanisms of a run, one for each kind of release.

    Attributes
    ----------
    answers : Mechanism
        The mechanism of every round's answers.
    panel, metrics : Mechanism, optional
        The mechanisms of the one release of the items that clients have, and of the one release of the student's
        quality, for both of which every client is asked; None where the run has no such release.
    """

    answers: Mechanism
    panel: Mechanism | None
    metrics: Mechanism | None

    def of(self, kind: str) -> Mechanism | None:
        """Return the mechanism of a kind of release."""
        return {ANSWERS: self.answers, PANEL: self.panel, METRICS: self.metrics}[kind]


def mechanisms(config: Config, num_clients: int, releases: int | None = None) -> Mechanisms:
    """Return the mechanisms of a run with a number of registered clients, after checking its budgets.

    Parameters
    ----------
    config : Config
        The run's settings.
    num_clients : int
        Registered clients.
    releases : int, optional
        The most answers of one client, where it is not the protocol's plan for the rounds of a run.
    """
    if config.privacy.student.epsilon is not None:
        config.privacy.student.limit(config.num_server_rounds, config.privacy.adaptive)
    planned = releases or config.algorithm.releases(config.num_server_rounds)
    return _mechanisms(config.privacy, config.fraction_train, planned, num_clients, config.algorithm.ballot())


def student_noise(config: Config) -> GradientNoise | None:
    """Return the noise of students' DP-SGD over the planned rounds; None without a budget for it."""
    options = config.privacy.student
    if options.epsilon is None:
        return None
    multiplier = options.multiplier(config.num_server_rounds)
    return GradientNoise(options.clip, multiplier, options.rate, options.steps, options.rate * options.histories)


@lru_cache(maxsize=8)
def _mechanisms(
    privacy: PrivacyOptions, fraction: float, releases: int, num_clients: int, ballot: tuple[int, int] | None
) -> Mechanisms:
    participants = max(1, round(fraction * num_clients))
    answers = privacy.planned(participants, releases, privacy.answers_share, ballot)
    if answers.active and (delta := privacy.budget[1]) >= 1 / num_clients:
        raise UserError(
            f"privacy.delta is {delta:g} with {num_clients} clients: at 1 / clients or more, publishing someone's data "
            f"would be allowed; it must be below {1 / num_clients:.3g}, and safer is {0.1 / num_clients:.1g} or less"
        )
    others = (answers.part(kind) for kind in (PANEL, METRICS))
    everyone = (None if part is None else replace(part, participants=num_clients) for part in others)
    return Mechanisms(answers.check(), *everyone)


@lru_cache(maxsize=2)
def _federation(data: Source, splitting: SplitOptions, dealing: PartitionOptions, seed: int, target: str) -> Federation:
    loaded = data.load()
    divided = divide(loaded, splitting, seed)
    fold = divided.test if target == "test" else divided.validation
    return Federation(loaded, divided, fold, deal(fold, dealing, seed))


def shard(num_clients: int, partition_id: int, num_partitions: int) -> NDArray[np.int64]:
    """Return the clients of one of several simulated nodes: a contiguous, nearly equal share."""
    if not 0 <= partition_id < num_partitions:
        raise ValueError(f"partition-id must be in 0..{num_partitions - 1}, it is {partition_id}")
    return np.array_split(np.arange(num_clients, dtype=np.int64), num_partitions)[partition_id]
