"""No protocol looks at what is held out, needs to know who said what, or learns from answers that say nothing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedkd.aggregation.sums import Sum
from fedkd.evaluation.evaluator import evaluate, model_scores
from fedkd.messages.types import Answers, Asks, Estimate, Estimates, Kind, LowRankUpdate, SparseUpdate, Spec
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.protocols.base import Protocol, State
from fedkd.protocols.local_only import LocalOnly
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from fedkd.testing.protocols import ToyFederation, assert_same, toy_fold, toy_setup
from fedkd.training.cohort import Cohort
from fedkd.training.negatives import sample_negatives
from fedkd.training.options import CentralTraining
from tests.protocols.test_conformance import protocol  # noqa: F401  (every protocol of the table, quick to train)

USERS = 8


def asked(kind: Protocol, clients: int = USERS) -> tuple[State, Asks]:
    state = kind.begin(toy_setup(users=clients))
    return state, kind.ask(state, np.arange(clients), 1, np.random.default_rng(0))


def test_what_is_held_out_changes_nothing_that_is_learnt(protocol: Protocol) -> None:  # noqa: F811
    """A student that knows which items were never negatives would know its own test."""
    fold = toy_fold(USERS, seed=1)
    others = fold.target.take(np.roll(np.arange(USERS), 1))
    state, asks = asked(protocol)
    ends = []
    for target in (fold.target, others):
        federation = ToyFederation(protocol, replace(fold, target=target), cohort_size=64)
        estimates = federation.collect(asks)
        assert estimates is not None
        taught, _ = protocol.teach(protocol.pool(state, estimates), np.random.default_rng(1))
        ends.append((taught.arrays, {"scores": federation.scores(taught, 1)}, *federation.states))
    for left, right in zip(*ends, strict=True):
        assert_same(left, right, 0)


def reversed_rows(values: Any, count: int) -> Any:
    """Return the clients' raw answers as if the last client had given the first one's, and so on."""
    if isinstance(values, LowRankUpdate | SparseUpdate):
        return replace(values, owner=count - 1 - values.owner)
    return values.take(np.arange(count)[::-1]) if isinstance(values, Ragged) else values[::-1]


def test_who_said_what_does_not_matter(protocol: Protocol) -> None:  # noqa: F811
    state, asks = asked(protocol)
    if not protocol.masks():
        pytest.skip("its server reads single answers, and says so")
    federation = ToyFederation(protocol, toy_fold(USERS, seed=1), cohort_size=64)
    _, answers = protocol.learn(federation.cohorts(np.arange(USERS))[0], asks)
    values = {name: reversed_rows(array, USERS) for name, array in answers.values.items()}
    weights = None if answers.weights is None else answers.weights[::-1].copy()
    aggregator = Sum(protocol.expects(asks))
    ends = [
        protocol.pool(state, aggregator.decode(aggregator.encode(one)))
        for one in (answers, replace(answers, values=values, weights=weights))
    ]
    assert_same(ends[0].arrays, ends[1].arrays, 1e-6)


def nothing(kind: Protocol, name: str, spec: Spec) -> Estimate:
    """Return the sum of answers in which every item is as good as any other."""
    if spec.kind is Kind.VOTES:
        return Estimate(np.full(spec.shape, USERS / spec.shape[-1]))
    said = np.zeros(spec.shape, np.float32)
    return Estimate(USERS * getattr(kind, "soft_labels", lambda scores: scores)(said))


def test_uniform_soft_labels_teach_nothing(protocol: Protocol) -> None:  # noqa: F811
    longer = {"pretraining", "transfer"} & type(protocol).model_fields.keys()
    kind = protocol.model_copy(update=dict.fromkeys(longer, CentralTraining(epochs=60)))
    fold, (state, asks) = toy_fold(40, seed=5), asked(kind)
    specs = kind.expects(asks)
    if not specs or not kind.masks():
        pytest.skip("nobody on the server learns from sums")
    values = {name: nothing(kind, name, spec) for name, spec in specs.items()}
    silent, _ = kind.teach(state, np.random.default_rng(1))
    pooled = kind.pool(state, Estimates(1, np.arange(USERS), values, float(USERS)))
    taught, _ = kind.teach(pooled, np.random.default_rng(1))
    for model in (kind.teacher, kind.student):
        before, after = model(silent), model(taught)
        if before is not None and after is not None:
            gained = [evaluate(model_scores(one), fold).means()["ndcg@10"] for one in (before, after)]
            assert gained[1] <= gained[0] + 0.03


@pytest.mark.parametrize("honest", [True, False])
def test_who_only_remembers_what_was_pushed_down_is_at_chance(honest: bool) -> None:
    """A table of each user's own, without any taste: positives go up, sampled negatives down, in forty rounds.

    It recognises the test item as the one that never went down where negatives leave out what is held out.
    """
    fold, rng = toy_fold(150, seed=7), np.random.default_rng(0)
    users, items = fold.train.num_users, fold.train.num_items
    table = 10.0 * fold.train.matrix().toarray()
    known = [fold.train.histories[user] for user in range(users)]
    if not honest:
        known = [np.union1d(own, fold.target.histories[user]) for user, own in enumerate(known)]
    positives = Ragged.from_rows(known, np.int64)
    for number in range(40):
        streams = [stream(0, "memoriser", number, user) for user in range(users)]
        drawn = sample_negatives(positives, items, 4, streams)
        np.add.at(table, (drawn.row_index, drawn.values), -0.1)
    memory = evaluate(lambda _, chosen: table[chosen].astype(np.float32), fold).means()
    chance = evaluate(lambda _, chosen: rng.random((len(chosen), items), np.float32), fold).means()
    assert (abs(memory["ndcg@10"] - chance["ndcg@10"]) < 0.1) == honest


def test_a_protocol_that_looks_at_what_is_held_out_is_found_out() -> None:
    class Peeking(LocalOnly):
        """Trains on what is held out."""

        def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
            return super().learn(replace(cohort, data=replace(cohort.data, train=cohort.data.target)), asks)

    with pytest.raises(AssertionError):
        test_what_is_held_out_changes_nothing_that_is_learnt(Peeking(model=AutoencoderConfig(width=2)))
