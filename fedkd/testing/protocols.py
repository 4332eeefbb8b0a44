"""The conformance suite of protocols: a federation in memory, and checks that every protocol must pass.

``check_protocol`` raises an ``AssertionError`` that says what is wrong. Every ask and every answer travels as packed
bytes, as in a run.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fedkd.aggregation.answer_budget import AnswerBudget
from fedkd.aggregation.sums import Sum
from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.evaluation.metrics import ranking_metrics
from fedkd.messages.flower import answer_record, ask_record, read_answer, read_ask
from fedkd.messages.types import Answers, Asks, Estimate, Estimates
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import score
from fedkd.models.watching import watched
from fedkd.protocols.base import Metrics, Protocol, Setup, State
from fedkd.protocols.rounds import play_round, sampled
from fedkd.ragged import Ragged
from fedkd.training.cohort import ClientState, Cohort
from fedkd.training.profiles import ClientOptions, Profile, in_cohorts

ITEMS, SEED = 30, 3
ALIKE = ClientOptions()
"""Clients whose students have the shape of the protocol's."""


def toy_interactions(users: int, seed: int, tastes: int = 3) -> Interactions:
    """Return users who like one block of a catalogue of 30 items, popular items of it most."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        appeal = 1.0 / (1 + np.arange(ITEMS) // tastes)
        appeal[np.arange(ITEMS) % tastes != user % tastes] *= 0.03
        rows.append(rng.choice(ITEMS, rng.integers(3, 9), replace=False, p=appeal / appeal.sum()))
    catalogue = Catalogue.numbered(ITEMS)
    return Interactions(np.arange(users).astype(np.str_), Ragged.from_rows(rows, np.int32), catalogue)


def toy_fold(users: int, seed: int) -> Fold:
    """Return toy users whose last two items are held out."""
    data = toy_interactions(users, seed)
    late = np.arange(len(data)) >= np.repeat(data.histories.indptr[1:] - 2, data.histories.lengths)
    train = data.where(~late)
    return Fold(train, train, data.where(late))


def toy_setup(public: int = 8, users: int = 20, rounds: int = 2) -> Setup:
    """Return the server's knowledge of some toy users, one a client."""
    nobody = toy_interactions(max(public, 1), seed=2).take(np.arange(public))
    return Setup(nobody, users, users, rounds, SEED)


def pooled(protocol: Protocol, state: State, asks: Asks, answers: Answers) -> State:
    """Return the state after raw answers were encoded, decoded and pooled."""
    aggregator = Sum(protocol.expects(asks))
    return protocol.pool(state, aggregator.decode(aggregator.encode(answers)))


@dataclass
class ToyFederation:
    """The clients' side, one user a client, behind two nodes.

    Attributes
    ----------
    protocol : Protocol
        The protocol that is played.
    fold : Fold
        The users.
    cohort_size : int
        Clients that learn together.
    clients : ClientOptions
        Their device profiles.
    states : list of ClientState
        What every client keeps.
    """

    protocol: Protocol
    fold: Fold
    cohort_size: int
    clients: ClientOptions = ALIKE
    states: list[ClientState] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states = [{}] * self.fold.train.num_users

    def cohorts(self, clients: NDArray[np.int64]) -> list[Cohort]:
        """Return some clients in cohorts."""
        profiles = self.clients.dealt(clients, SEED)
        return [self._cohort(chunk) for chunk in in_cohorts(clients, profiles, self.cohort_size)]

    def _cohort(self, clients: NDArray[np.int64]) -> Cohort:
        own, states = np.arange(len(clients)), tuple(self.states[client] for client in clients)
        model = self.clients.model(self.clients.dealt(clients, SEED))
        return Cohort(clients, own, self.fold.take(clients), SEED, states, model=model)

    def collect(self, asks: Asks) -> Estimates | None:
        """Return the estimates that the answers of two nodes give."""
        aggregator = Sum(self.protocol.expects(asks))
        parts = [self._answer(asks.take(node)) for node in np.array_split(asks.clients, 2) if len(node)]
        return aggregator.decode(aggregator.merge(parts)) if parts else None

    def _answer(self, asks: Asks) -> Answers:
        """Return the answer of one node, after it travelled."""
        own = read_ask(ask_record(asks))
        aggregator = Sum(self.protocol.expects(own))
        learnt = [self._learn(cohort, own.take(cohort.clients)) for cohort in self.cohorts(own.clients)]
        encoded = [aggregator.encode(answers) for answers in learnt]
        record = answer_record(aggregator.merge(encoded), aggregator.specs)
        found = read_answer(record, asks, aggregator.specs)
        assert not found.refused, f"answers were refused: {found.refused}"
        assert found.clients.tolist() == asks.clients.tolist(), "every client that is asked must answer"
        return found

    def _learn(self, cohort: Cohort, asks: Asks) -> Answers:
        learnt, answers = self.protocol.learn(cohort, asks)
        assert answers.clients.tolist() == cohort.clients.tolist(), "learn must answer for the clients it was given"
        for client, kept in zip(learnt.clients, learnt.states, strict=bool(learnt.states)):
            self.states[client] = kept
        return answers

    def scores(self, state: State, number: int) -> NDArray[np.float32]:
        """Return the scores of every user's recommendations on their device, shape [users, items]."""
        asks = read_ask(ask_record(self.protocol.deploy(state, np.arange(len(self.states)), number)))
        out = np.zeros((len(self.states), ITEMS), np.float32)
        for cohort in self.cohorts(asks.clients):
            scores = self.protocol.predict(cohort, asks.take(cohort.clients))
            assert scores.dtype == np.float32, f"scores are of type {scores.dtype}"
            out[cohort.clients] = scores
        return out

    def ndcg(self, scores: NDArray[np.float32]) -> float:
        """Return NDCG@10 of some scores."""
        seen, targets = self.fold.history.histories, self.fold.target.histories
        return float(ranking_metrics(scores, seen, targets)[:, 0].mean())


@dataclass
class Outcome:
    """The end of a toy federation: the server's state, everyone's scores, the clients, and each round's metrics."""

    state: State
    scores: NDArray[np.float32]
    federation: ToyFederation
    metrics: list[Metrics]


def play(
    protocol: Protocol,
    rounds: int = 2,
    users: int = 20,
    cohort_size: int = 64,
    public: int = 8,
    share: float = 1.0,
    clients: ClientOptions = ALIKE,
) -> Outcome:
    """Run some rounds, with everyone or with a random share of the clients."""
    federation = ToyFederation(protocol, toy_fold(users, seed=1), cohort_size, clients)
    setup = Setup(toy_interactions(public, seed=2), users, users, rounds, SEED)
    state, metrics = protocol.begin(setup), list[Metrics]()
    for number in range(1, rounds + 1):
        chosen = sampled(np.arange(users), max(1, round(share * users)), SEED, number)
        played = play_round(protocol, state, number, chosen, users, federation.collect)
        state = played.state
        metrics.append(played.metrics)
    return Outcome(state, federation.scores(state, rounds), federation, metrics)


def check_protocol(protocol: Protocol) -> None:
    """Check everything that can be checked of a protocol on toy data, in some seconds."""
    checks: tuple[Callable[[Protocol], None], ...] = (
        check_two_rounds,
        check_cohorts,
        check_seed,
        check_coming_and_going,
        check_profiles,
        check_bound,
        check_silence,
        check_file,
        check_public_divisors,
    )
    for check in watched(checks, len(checks), f"conformance of {protocol.name}"):
        check(protocol)


def check_two_rounds(protocol: Protocol) -> None:
    """Check that two rounds end in arrays that can be saved, and in finite scores of the whole catalogue."""
    outcome = play(protocol)
    for name, array in outcome.state.arrays.items():
        assert isinstance(array, np.ndarray), f"{name} is no array"
        assert array.dtype.kind in "fiub", f"{name} cannot be saved: {array.dtype}"
        assert np.isfinite(array).all(), f"{name} is not finite"
    for kept in outcome.federation.states:
        assert all(isinstance(array, np.ndarray) and array.dtype.kind in "fiub" for array in kept.values())
    assert outcome.scores.shape == (20, ITEMS), f"scores have the shape {outcome.scores.shape}"
    assert np.isfinite(outcome.scores).all(), "scores are not finite"
    assert all(np.isfinite(value) for metrics in outcome.metrics for value in metrics.values())


def check_cohorts(protocol: Protocol) -> None:
    """Check that the result does not depend on how clients are grouped: four on a node, or three and one."""
    together, apart = (play(protocol, users=8, cohort_size=size) for size in (4, 3))
    assert_same(together.state.arrays, apart.state.arrays)
    for left, right in zip(together.federation.states, apart.federation.states, strict=True):
        assert_same(left, right)
    assert_same({"scores": together.scores}, {"scores": apart.scores})


def check_profiles(protocol: Protocol) -> None:
    """Check that clients may have students of different shapes, where the protocol says so."""
    if not protocol.profiled():
        return
    widths = {"small": 2, "large": 3}
    profiles = {name: Profile(model=AutoencoderConfig(width=width)) for name, width in widths.items()}
    clients = ClientOptions(profiles=profiles)
    together, apart = (play(protocol, users=8, cohort_size=size, clients=clients) for size in (64, 2))
    assert_same(together.state.arrays, apart.state.arrays)
    assert_same({"scores": together.scores}, {"scores": apart.scores})
    for profile, kept in zip(clients.dealt(np.arange(8), SEED), together.federation.states, strict=True):
        sizes = {size for array in kept.values() if array.ndim > 1 for size in array.shape}
        assert widths[str(profile)] in sizes, f"a client keeps another student than that of its profile: {sizes}"


def check_seed(protocol: Protocol) -> None:
    """Check that the seed decides the result."""
    first, second = play(protocol, users=8), play(protocol, users=8)
    assert_same(first.state.arrays, second.state.arrays, 0)


def check_coming_and_going(protocol: Protocol) -> None:
    """Check that other clients may take part in every round."""
    assert np.isfinite(play(protocol, rounds=3, share=0.3).scores).all()


def check_bound(protocol: Protocol) -> None:
    """Check that the centralised bound, if there is one, scores the catalogue."""
    train = toy_fold(20, seed=1).train
    bound = protocol.centralised(train, toy_setup())
    scores = np.zeros((20, ITEMS)) if bound is None else score(bound, train.histories)
    assert scores.shape == (20, ITEMS)
    assert np.isfinite(scores).all()


def check_silence(protocol: Protocol) -> None:
    """Check that a round in which nobody answers does no harm."""
    state, _ = protocol.teach(protocol.begin(toy_setup()), np.random.default_rng(0))
    student = protocol.student(state)
    assert student is None or all(np.isfinite(t.numpy()).all() for t in student.state_dict().values())


def check_file(protocol: Protocol) -> None:
    """Check that parameters survive a file."""
    text = json.dumps(protocol.model_dump(mode="json", by_alias=True))
    assert type(protocol).model_validate(json.loads(text)) == protocol


def check_public_divisors(protocol: Protocol) -> None:
    """Check that under protection the same sum teaches the same, however many answered.

    Divisors and thresholds must be public: the number of those who did answer would tell who takes part.
    """
    if protocol.unprotectable():
        return
    budget, students = AnswerBudget(20, 0.5), []
    for answered in (3, 19):
        state = protocol.begin(replace(toy_setup(), participants=20, answer_budget=budget))
        asks = protocol.ask(state, np.arange(20), 1, np.random.default_rng(0))
        rng = np.random.default_rng(1)
        values = {
            name: Estimate(rng.normal(0, 3, spec.shape), budget.std * (spec.clip or 1.0))
            for name, spec in protocol.expects(asks).items()
        }
        state = protocol.pool(state, Estimates(1, np.arange(answered), values, 20.0))
        students.append(protocol.student(protocol.teach(state, np.random.default_rng(2))[0]))
    first, second = ({} if s is None else {n: t.numpy() for n, t in s.state_dict().items()} for s in students)
    assert_same(first, second, 0)


def assert_same(left: ClientState, right: ClientState, tolerance: float = 1e-5) -> None:
    """Check that named arrays are equal up to a share of their largest number."""
    assert left.keys() == right.keys()
    for name, array in left.items():
        atol = tolerance * max(np.abs(array).max(initial=0), 1e-12)
        np.testing.assert_allclose(array, right[name], rtol=0, atol=atol, err_msg=name)
