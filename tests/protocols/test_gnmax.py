"""Confident-GNMax: a step by step aggregator, the sensitivity of votes, and labels that help."""

import math
from dataclasses import replace

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from fedkd.aggregation.answer_budget import AnswerBudget
from fedkd.aggregation.clipping import clipped
from fedkd.errors import UserError
from fedkd.evaluation.metrics import ranking_metrics
from fedkd.messages.types import Answers, Estimate, Estimates, Reference
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import score
from fedkd.models.ease import fit_ease
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.options import PrivacyOptions
from fedkd.privacy.schedule import Release, Schedule
from fedkd.protocols.gnmax import GNMax, confident, drawn_queries, votes
from fedkd.ragged import Ragged
from fedkd.testing.mechanisms import estimated
from fedkd.testing.protocols import pooled
from fedkd.training.cohort import Cohort
from fedkd.training.options import CentralTraining

QUICK = GNMax(model=AutoencoderConfig(width=4), queries=12, panel=20, central=CentralTraining(epochs=5))


def asks_of(protocol, setup, clients=4):
    return protocol.ask(protocol.begin(setup), np.arange(clients), 1, np.random.default_rng(0))


def silos(fold, owner):
    return Cohort(np.unique(owner), owner, fold, 3, ({},) * len(np.unique(owner)))


def test_labels_are_those_of_an_aggregator_that_goes_query_by_query():
    rng = np.random.default_rng(0)
    for _ in range(200):
        counts = rng.multinomial(30, rng.dirichlet(np.full(9, 0.3)), size=6) + rng.normal(0, 2, (6, 9))
        threshold, floor = rng.uniform(5, 25), rng.uniform(0, 5)
        labels = confident(counts, threshold, floor)
        for row, label in zip(counts, labels, strict=True):
            if max(row) < threshold:
                assert not label.any()
                continue
            assert label.argmax() == row.argmax()
            kept = {j: v for j, v in enumerate(row) if v > 0 and (v > floor or v == max(row))}
            expected = [kept.get(j, 0.0) / sum(kept.values()) for j in range(9)]
            np.testing.assert_allclose(label, expected, atol=1e-6)


@pytest.mark.parametrize(("leader", "sigma"), [(560, 50.0), (520, 100.0), (505, 60.0)])
def test_of_two_items_the_right_one_wins_as_often_as_the_normal_tail_says(leader, sigma):
    rng = np.random.default_rng(1)
    counts = np.array([leader, 1000 - leader]) + rng.normal(0, sigma, (200_000, 2))
    won = (confident(counts, -math.inf, -math.inf).argmax(axis=1) == 0).mean()
    expected = norm.cdf((2 * leader - 1000) / (sigma * math.sqrt(2)))
    assert won == pytest.approx(expected, abs=5 * math.sqrt(0.25 / 200_000))


@pytest.mark.parametrize("sigma", [3.0, 20.0])
def test_a_lone_item_is_answered_as_often_as_the_normal_tail_says(sigma):
    counts = 30 + np.random.default_rng(2).normal(0, sigma, (200_000, 1))
    answered = confident(counts, 25.0, 0.0).any(axis=1).mean()
    assert answered == pytest.approx(norm.cdf(5 / sigma), abs=0.006)


def test_noise_alone_is_hardly_ever_an_answer(public_setup):
    setup = replace(public_setup(), answer_budget=AnswerBudget(40, 1.5), participants=40, num_clients=40)
    queries, panel = 200, 300
    sigma = setup.answer_budget.std * math.sqrt(queries)
    threshold, floor = QUICK._thresholds(setup, panel, sigma)
    assert threshold >= floor == pytest.approx(norm.isf(0.01 / panel) * sigma)
    nothing = np.random.default_rng(3).normal(0, sigma, (queries, panel))
    assert confident(nothing, threshold, floor).any(axis=1).mean() <= 0.03


def test_thresholds_are_made_of_public_numbers(public_setup):
    """They are the same whatever silos hold, and however many answered."""
    setup = replace(public_setup(), participants=7)
    assert QUICK._thresholds(setup, 20, 0.0) == (pytest.approx(0.2 * 7), 0.0)


def test_an_unanswered_query_leaves_nothing_behind(public_setup):
    """All that a round leaves of a query below the threshold is that it is below: its votes are not even kept."""
    setup = public_setup()
    asks = asks_of(QUICK, setup)
    shape = next(iter(QUICK.expects(asks).values())).shape
    students = []
    for few in (0, 1, 2, 3):
        counts = np.zeros(shape)
        counts[0, 3], counts[1, :3] = 20, few
        state = QUICK.begin(setup)
        pooled = QUICK.pool(state, Estimates(1, np.arange(20), {"votes": Estimate(counts)}, 20.0))
        taught, said = QUICK.teach(pooled, np.random.default_rng(0))
        assert said["answered"] == 1
        assert "votes" not in taught.arrays
        students.append(taught)
    for other in students[1:]:
        assert all(np.array_equal(other.arrays[name], array) for name, array in students[0].arrays.items())


def test_a_silo_votes_for_the_best_item_that_a_query_does_not_hold(private_fold, public_setup):
    fold, owner = private_fold(18, seed=1), np.repeat(np.arange(3), 6)
    asks = asks_of(QUICK, public_setup(), clients=3)
    _, answers = QUICK.learn(silos(fold, owner), asks)
    for silo in range(3):
        model = fit_ease(fold.train.take(np.flatnonzero(owner == silo)), QUICK.regularisation)
        scores = score(model, asks.reference.histories)
        for query, held in enumerate(asks.reference.histories):
            allowed = [(scores[query, item], -column) for column, item in enumerate(asks.reference.panel)]
            allowed = [(s, c) for (s, c) in allowed if asks.reference.panel[-c] not in held and s > 1e-6]
            cast = answers.values["votes"][silo, query]
            if not allowed:
                assert cast.sum() <= 1
                continue
            assert cast.sum() == 1
            assert scores[query, asks.reference.panel[cast.argmax()]] == pytest.approx(max(allowed)[0], abs=1e-5)


wild = st.sampled_from([0.0, -0.0, 1.0, -1.0, 5e-324, 1e38, -1e38, math.inf, -math.inf, math.nan])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_presence_of_a_silo_moves_the_sum_by_no_more_than_the_clip(data):
    """A sum without and with a silo, and with another in its place, whatever its recommender says."""
    queries, panel = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5))
    histories = Ragged.from_rows([[0]] * queries, np.int32)
    reference = Reference(histories, np.arange(panel, dtype=np.int32))
    cast = []
    for _ in range(2):
        scores = np.array(data.draw(st.lists(wild, min_size=queries * panel, max_size=queries * panel)), np.float32)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fedkd.protocols.gnmax.score", lambda _model, _histories, s=scores: s.reshape(queries, panel))
            cast.append(votes(None, reference).astype(float))
    assert all(np.isfinite(one).all() and np.isin(one, (0, 1)).all() for one in cast)
    assert all((one.sum(axis=1) <= 1).all() for one in cast)
    assert np.linalg.norm(cast[0]) <= math.sqrt(queries)
    assert np.linalg.norm(cast[0] - cast[1]) <= math.sqrt(2 * queries)


def test_a_silo_that_stuffs_the_ballot_is_cut_down_to_the_clip(public_setup):
    asks = asks_of(QUICK, public_setup())
    guard = PrivacyOptions(mode="central", epsilon=4.0, delta=1e-5, unit="client").planned(4, 1)
    specs = guard.specs(QUICK.expects(asks))
    for ballot in (1e38, math.inf, math.nan, 100.0, -3.0):
        shape = (1, *specs["votes"].shape)
        bounded = clipped(np.full(shape, ballot), specs["votes"], 1)
        assert np.linalg.norm(bounded) <= math.sqrt(shape[1]) * (1 + 1e-12)


@pytest.mark.parametrize("rounds", [1, 3])
def test_epsilon_is_that_of_one_noisy_histogram_for_every_query(rounds, public_setup):
    """The round's release at the clip is as private as its queries, each with a vote's sensitivity of 1."""
    asks = asks_of(QUICK, public_setup())
    spec = QUICK.expects(asks)["votes"]
    guard = PrivacyOptions(mode="central", epsilon=4.0, delta=1e-5, unit="client").planned(40, rounds)
    queries = spec.shape[0]
    assert spec.clip == pytest.approx(math.sqrt(queries))
    each = Release(guard.multiplier * spec.clip, 1.0, queries * rounds, content="vote")
    assert epsilon(Schedule((each,)), 1e-5) == pytest.approx(4.0, rel=1e-6)
    joint = pld.from_gaussian_mechanism(each.multiplier, value_discretization_interval=1e-3).self_compose(each.count)
    assert joint.get_epsilon_for_delta(1e-5) == pytest.approx(4.0, rel=1e-2)


def test_the_noise_that_the_thresholds_assume_is_on_the_sum(public_setup):
    asks = asks_of(QUICK, public_setup())
    guard = PrivacyOptions(mode="central", epsilon=2.0, delta=1e-5, unit="client").planned(4, 1)
    specs = guard.specs(QUICK.expects(asks))
    shape = specs["votes"].shape
    empty = Answers(1, np.arange(4), {"votes": np.zeros((4, *shape), np.int8)}, asks.reference.fingerprint)
    noised = [estimated(guard, empty, specs).values["votes"].value for _ in range(30)]
    assert np.std(noised) == pytest.approx(guard.noise * math.sqrt(shape[0]), rel=0.05)


def test_queries_are_public_histories_and_then_random_halves(public_setup):
    public = public_setup().public
    known = [set(row.tolist()) for row in public.histories]
    drawn = [set(row.tolist()) for row in drawn_queries(public, 20, np.random.default_rng(0))]
    assert sorted(map(sorted, drawn[:8])) == sorted(map(sorted, known))
    assert all(any(row <= whole for whole in known) for row in drawn)


def test_without_public_users_there_are_no_queries(public_setup):
    with pytest.raises(UserError, match="public-fraction"):
        QUICK.begin(public_setup(public=0))


def test_clear_votes_teach_more_than_the_public_users_know(private_fold, public_setup):
    protocol = GNMax(
        model=AutoencoderConfig(width=16),
        queries=60,
        regularisation=5.0,
        central=CentralTraining(epochs=40),
    )
    fold, owner = private_fold(300, seed=1), np.repeat(np.arange(15), 20)
    setup = public_setup(public=6, users=15)
    start = protocol.begin(setup)
    asks = protocol.ask(start, np.arange(15), 1, np.random.default_rng(0))
    _, answers = protocol.learn(silos(fold, owner), asks)
    taught, said = protocol.teach(pooled(protocol, start, asks, answers), np.random.default_rng(0))
    quality = []
    for state in (start, taught):
        scores = score(protocol.student(state), fold.train.histories)
        quality.append(ranking_metrics(scores, fold.train.histories, fold.target.histories)[:, 0].mean())
    assert said["answered"] > 10
    assert quality[1] > 1.02 * quality[0]
