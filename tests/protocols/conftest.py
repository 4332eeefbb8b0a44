"""A federation in memory: every ask and every answer travels as packed bytes, as in the real round loop."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fedkd.aggregation.release import merge, release
from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.evaluation.metrics import ranking_metrics
from fedkd.messages.flower import answer_record, ask_record, read_answer, read_ask
from fedkd.protocols.base import Metrics, Protocol, Setup, State
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from fedkd.training.cohort import ClientState, Cohort

ITEMS, SEED = 30, 3


def make_interactions(users: int, seed: int, tastes: int = 3) -> Interactions:
    """Users who like one block of the catalogue, popular items of it most."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        appeal = 1.0 / (1 + np.arange(ITEMS) // tastes)
        appeal[np.arange(ITEMS) % tastes != user % tastes] *= 0.03
        rows.append(rng.choice(ITEMS, rng.integers(3, 9), replace=False, p=appeal / appeal.sum()))
    catalogue = Catalogue.numbered(ITEMS)
    return Interactions(np.arange(users).astype(np.str_), Ragged.from_rows(rows, np.int32), catalogue)


def make_fold(users: int, seed: int) -> Fold:
    """Hold out the last two items of every user."""
    data = make_interactions(users, seed)
    late = np.arange(len(data)) >= np.repeat(data.histories.indptr[1:] - 2, data.histories.lengths)
    train = data.where(~late)
    return Fold(train, train, data.where(late))


@dataclass
class Federation:
    """The clients' side, one user a client."""

    protocol: Protocol
    fold: Fold
    cohort_size: int
    states: list[ClientState]

    @classmethod
    def start(cls, protocol: Protocol, fold: Fold, cohort_size: int) -> "Federation":
        return cls(protocol, fold, cohort_size, [{}] * fold.train.num_users)

    def cohorts(self, clients: NDArray[np.int64]) -> list[Cohort]:
        chunks = [clients[i : i + self.cohort_size] for i in range(0, len(clients), self.cohort_size)]
        return [Cohort(c, np.arange(len(c)), self.fold.take(c), SEED, tuple(self.states[i] for i in c)) for c in chunks]

    def round(self, state: State, number: int, clients: NDArray[np.int64]) -> tuple[State, Metrics]:
        """Play one round with two nodes."""
        invited = self.protocol.invite(state, clients)
        asks = self.protocol.ask(state, invited, number, stream(SEED, "ask", number))
        for node in filter(len, np.array_split(invited, 2)):
            own = asks.take(node)
            specs = self.protocol.expects(own)
            read = read_answer(self.node(ask_record(own)), own, specs)
            assert not read.refused
            assert read.clients.tolist() == node.tolist()
            state = self.protocol.pool(state, read)
        return self.protocol.teach(state, stream(SEED, "teach", number))

    def node(self, record):
        """What a node does with a message."""
        asks = read_ask(record)
        parts = []
        for cohort in self.cohorts(asks.clients):
            own = asks.take(cohort.clients)
            learnt, answers = self.protocol.learn(cohort, own)
            assert answers.clients.tolist() == cohort.clients.tolist()
            for client, kept in zip(learnt.clients, learnt.states, strict=bool(learnt.states)):
                self.states[client] = kept
            parts.append(release(answers, self.protocol.expects(own)))
        specs = self.protocol.expects(asks)
        return answer_record(merge(parts, specs), specs)

    def scores(self, state: State, number: int) -> NDArray[np.float32]:
        """What every user is recommended on his device, shape [users, items]."""
        asks = self.protocol.deploy(state, np.arange(len(self.states)), number)
        asks = read_ask(ask_record(asks))
        parts = [self.protocol.predict(c, asks.take(c.clients)) for c in self.cohorts(asks.clients)]
        return np.concatenate(parts)

    def ndcg(self, scores: NDArray[np.float32]) -> float:
        seen, targets = self.fold.history.histories, self.fold.target.histories
        return float(ranking_metrics(scores, seen, targets)[:, 0].mean())


@dataclass
class Outcome:
    """What a federation came to."""

    state: State
    scores: NDArray[np.float32]
    federation: Federation
    metrics: list[Metrics]


def play(
    protocol: Protocol, rounds: int = 2, users: int = 20, cohort_size: int = 64, public: int = 8, share: float = 1.0
) -> Outcome:
    """Run some rounds, with everyone or with a random share of the clients."""
    fold = make_fold(users, seed=1)
    federation = Federation.start(protocol, fold, cohort_size)
    setup = Setup(make_interactions(public, seed=2), users, users, rounds, SEED)
    state, metrics = protocol.begin(setup), []
    for number in range(1, rounds + 1):
        chosen = np.sort(stream(SEED, "sample", number).choice(users, max(1, round(share * users)), replace=False))
        state, said = federation.round(state, number, chosen)
        metrics.append(said)
    return Outcome(state, federation.scores(state, rounds), federation, metrics)


@pytest.fixture
def run_federation() -> Callable[..., Outcome]:
    return play


@pytest.fixture
def private_fold() -> Callable[..., Fold]:
    return make_fold


@pytest.fixture
def public_setup() -> Callable[..., Setup]:
    def setup(public: int = 8, users: int = 20, rounds: int = 2) -> Setup:
        nobody = make_interactions(max(public, 1), seed=2).take(np.arange(public))
        return replace(Setup(nobody, users, users, rounds, SEED))

    return setup
