"""Randomised response and report-noisy-max against exact probabilities and dp-accounting."""

import math

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from fedkd.errors import UserError
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.schedule import Response
from fedkd.privacy.votes import SENSITIVITY, choices, max_cost, noisy_max, respond, response, unbiased

HARD = st.lists(
    st.sampled_from([math.nan, math.inf, -math.inf, 1e38, -1e38, 5e-324, 0.0, -0.0, 1.0, -1.0, 2.0**62]),
    min_size=1,
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(HARD, st.integers(0, 2**32))
def test_whatever_is_handed_in_is_one_vote_at_most(row, seed):
    table = np.array([row, row[::-1]])
    chosen = choices(table)
    assert chosen.shape == (2,)
    assert ((chosen >= 0) & (chosen <= len(row))).all()
    out = respond(table, Response(0.3, len(row) + 1), np.random.default_rng(seed))
    assert set(np.unique(out)) <= {0, 1}
    assert (out.sum(axis=1) <= 1).all()


def test_ten_thousand_voters_move_counts_by_no_more_than_is_stated():
    rng = np.random.default_rng(0)
    for items in (1, 2, 7, 40):
        table = rng.normal(size=(2_500, 3, items)) * 10.0 ** rng.integers(-300, 300, (2_500, 3, items))
        table[rng.random(table.shape) < 0.2] = math.nan
        chosen = choices(table)
        own = (chosen[..., None] == np.arange(items)).astype(int)
        assert own.sum(axis=-1).max() <= 1
        others = rng.permutation(own)
        spread = (own - others).max(axis=-1) - (own - others).min(axis=-1)
        assert spread.max() <= SENSITIVITY["replace-one"]
        assert (own.max(axis=-1) - own.min(axis=-1)).max() <= SENSITIVITY["add-remove"]


@pytest.mark.parametrize("epsilon", [0.01, 0.5, 2.0, 8.0])
@pytest.mark.parametrize("items", [1, 4, 100])
def test_a_response_reveals_what_it_says(epsilon, items):
    mechanism = response(epsilon, items)
    assert mechanism.pure == pytest.approx(epsilon)
    keep = 1 - mechanism.randomness + mechanism.randomness / mechanism.values
    other = mechanism.randomness / mechanism.values
    assert math.log(keep / other) == pytest.approx(epsilon)
    assert keep + items * other == pytest.approx(1)
    loss = pld.from_randomized_response(mechanism.randomness, mechanism.values)
    assert loss.get_epsilon_for_delta(0) == pytest.approx(epsilon, rel=1e-3, abs=1e-3)


def test_responses_have_the_stated_probabilities_and_are_unbiased_in_the_sum():
    rng, voters, items = np.random.default_rng(1), 60_000, 3
    mechanism = response(1.0, items)
    held = np.array([0, 0, 0, 1, 1, 3])  # three votes for the first item, two for the second, one for none
    chosen = np.tile(held, voters // 6)
    votes = (chosen[:, None, None] == np.arange(items)).astype(int)
    counts = respond(votes, mechanism, rng).sum(axis=0)
    estimate = unbiased(counts, voters, mechanism)[0]
    deviation = math.sqrt(voters) / 2 / (1 - mechanism.randomness)
    assert np.abs(estimate - np.array([3, 2, 0]) * voters / 6).max() < 4 * deviation
    kept = respond(votes[chosen == 0], mechanism, rng)[:, 0, 0].mean()
    assert kept == pytest.approx(1 - mechanism.randomness * (1 - 1 / 4), abs=0.01)


def test_a_response_that_keeps_nothing_says_nothing():
    assert not unbiased(np.array([[5, 2]]), 9, Response(1.0, 3)).any()


@pytest.mark.parametrize(("adjacency", "change"), [("add-remove", [0, 1, 0, 0]), ("replace-one", [-1, 1, 0, 0])])
def test_the_noisy_maximum_is_the_exponential_mechanism_of_bounded_range(adjacency, change):
    epsilon, rng = 1.5, np.random.default_rng(2)
    counts, changed = np.array([4, 3, 2, 0]), np.array([4, 3, 2, 0]) + change
    scale = SENSITIVITY[adjacency] / epsilon
    exact = counts / scale - logsumexp(counts / scale)
    loss = exact - (changed / scale - logsumexp(changed / scale))
    assert loss.max() - loss.min() <= epsilon * (1 + 1e-12)
    assert np.abs(loss).max() <= epsilon
    drawn = noisy_max(np.tile(counts, (200_000, 1)), epsilon, adjacency, rng)
    assert (drawn.sum(axis=1) == 1).all()
    assert np.abs(drawn.mean(axis=0) - np.exp(exact)).max() < 4 * 0.5 / math.sqrt(200_000)


@pytest.mark.parametrize("epsilon", [0.05, 0.7, 3.0])
def test_the_divergence_of_any_bounded_range_stays_below_the_cost(epsilon):
    """Over random neighbours and orders, also the worst case of two items; the bound is nearly reached there."""
    rng, closest = np.random.default_rng(3), 0.0
    for items in (2, 3, 20):
        for _ in range(300):
            counts = rng.integers(0, 6, items)
            changed = counts + (np.arange(items) == rng.integers(items))
            p = epsilon * counts - logsumexp(epsilon * counts)
            q = epsilon * changed - logsumexp(epsilon * changed)
            for order in (2, 3, 10, 50):
                for one, two in ((p, q), (q, p)):
                    divergence = logsumexp(order * one - (order - 1) * two) / (order - 1)
                    bound = order * max_cost(epsilon, 1).rho
                    assert divergence <= bound * (1 + 1e-9)
                    closest = max(closest, divergence / bound)
    assert closest > 0.15


def test_many_queries_cost_their_sum():
    one, many = max_cost(0.2, 1), max_cost(0.2, 50)
    assert many.rho == pytest.approx(50 * one.rho)
    assert not many.gaussian
    assert 0 < epsilon(many, 1e-5) < 50 * 0.2


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan, math.inf, 1e4])
def test_impossible_budgets_are_refused(epsilon):
    with pytest.raises(UserError, match="epsilon"):
        response(epsilon, 3)
    if epsilon != 1e4:
        with pytest.raises(UserError, match="epsilon"):
            noisy_max(np.ones((1, 2), int), epsilon, "add-remove", np.random.default_rng())
