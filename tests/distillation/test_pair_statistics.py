"""The statistics of pairs against loops over prefixes and over pairs, and what a list leaves of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkd.distillation import likely_pairs as likely_pairs_module
from fedkd.distillation import pair_lists
from fedkd.distillation.co_occurrence import CoOccurrence
from fedkd.distillation.likely_pairs import likely_pairs, symmetric
from fedkd.distillation.next_item import NextItem
from fedkd.distillation.pair_lists import Chosen, Everything, Layout, contributions, known_pairs
from fedkd.distillation.residual import UserWeights
from fedkd.ragged import Ragged

ITEMS = 7
NEXT = NextItem((1.0, 3.0), levels=10**7)
PLAIN = CoOccurrence(UserWeights())


def histories(seed=0, users=9, items=ITEMS):
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(items)[: rng.integers(0, items + 1)] for _ in range(users)]
    return Ragged.from_rows(rows, np.int32)


def naive_next(given, decays, items=ITEMS):
    """G beside K, one prefix after the other."""
    out = np.zeros((len(decays) * items, (len(decays) + 1) * items))
    for history in given:
        for end in range(1, len(history)):
            phi = np.zeros((len(decays), items))
            for steps, item in enumerate(history[:end][::-1]):
                phi[:, item] = np.exp(-steps / np.asarray(decays))
            target = np.eye(items)[history[end]]
            out += np.outer(phi.reshape(-1), np.append(phi.reshape(-1), target))
    return out


def naive_plain(given):
    out = np.zeros((ITEMS, ITEMS))
    for history in given:
        out += UserWeights().of(np.array([len(history)])) * np.outer(*[np.isin(np.arange(ITEMS), history)] * 2)
    return out


def full(upper, layout):
    upper = upper if isinstance(upper, np.ndarray) else upper.toarray()
    inputs = upper[:, : layout.inputs]
    return np.hstack([inputs + np.triu(inputs, 1).T, upper[:, layout.inputs :]])


@pytest.mark.parametrize(
    ("statistic", "expected"), [(NEXT, naive_next(histories(), NEXT.decays)), (PLAIN, naive_plain(histories()))]
)
def test_the_statistic_is_that_of_a_loop(statistic, expected):
    layout = statistic.layout(ITEMS)
    everything = Everything(layout)
    answered = contributions(histories(), statistic, everything).total()
    assert len(answered) == layout.size
    np.testing.assert_allclose(full(everything.matrix(answered, statistic.units()), layout), expected, atol=1e-5)
    np.testing.assert_allclose(full(known_pairs(histories(), statistic, ITEMS), layout), expected, atol=1e-5)


@given(st.integers(0, 10**6))
def test_a_list_holds_what_everything_holds_in_its_places(seed):
    rng = np.random.default_rng(seed)
    statistic = NextItem((1.0, 3.0))
    layout, given = statistic.layout(ITEMS), histories(seed)
    everything = Everything(layout)
    whole = everything.matrix(contributions(given, statistic, everything).total(), statistic.units())
    allowed = np.hstack([np.triu(np.ones((layout.inputs, layout.inputs))), np.ones((layout.inputs, ITEMS))])
    wanted = rng.random(allowed.shape) < 0.3 * allowed
    chosen = Chosen(layout, Ragged.from_rows([np.flatnonzero(row) for row in wanted], np.int32))
    answered = chosen.matrix(contributions(given, statistic, chosen).total(), statistic.units()).toarray()
    np.testing.assert_allclose(answered, whole * wanted, rtol=1e-6)


def test_every_number_of_a_user_is_bounded():
    long = Ragged.from_rows([np.arange(60)], np.int32)
    for statistic in (NextItem((0.5, 4.0, 25.0)), PLAIN):
        answer = contributions(long, statistic, Everything(statistic.layout(60))).total()
        assert answer.min() >= 0
        assert answer.max() <= statistic.levels
        assert np.linalg.norm(answer) <= statistic.levels * len(answer) ** 0.5


def test_what_lies_beyond_the_window_is_rounded_to_zero():
    statistic = NextItem((2.0,))
    long = Ragged.from_rows([np.arange(60)], np.int32)
    further = statistic.numbers(statistic.window, np.array([50]), np.array([60]))
    assert not further.any()
    assert statistic.lags(5) == 5
    assert contributions(long, statistic, Everything(statistic.layout(60))).total().any()


def test_an_empty_history_answers_nothing():
    empty = Ragged.from_rows([[]], np.int32)
    assert not len(contributions(empty, NEXT, Everything(NEXT.layout(ITEMS))).owner)
    assert known_pairs(empty, NEXT, ITEMS).nnz == 0
    assert (
        Chosen(Layout(ITEMS), Ragged.from_rows([[]] * ITEMS, np.int32)).of(np.array([1]), np.array([2])) == -1
    ).all()


def test_the_list_holds_the_largest_of_what_is_known_and_pairs_that_the_others_suggest():
    layout = Layout(6)
    known = Ragged.from_rows([[0, 1], [1, 2], [0, 1], [1, 2], [3, 4, 5], [3, 4, 5]], np.int32)
    listed = likely_pairs(known_pairs(known, PLAIN, 6), layout, 12)
    pairs = set(zip(listed.columns.row_index.tolist(), listed.columns.values.tolist(), strict=True))
    assert len(pairs) == 12, "all pairs inside the two niches, of which nobody shows 0 with 2"
    assert all(row <= column and row // 3 == column // 3 for row, column in pairs)


@pytest.mark.parametrize("block", [12, 50, 1 << 24])
def test_the_largest_guesses_are_found_block_by_block(monkeypatch, block):
    known = known_pairs(histories(3, 40, 12), PLAIN, 12)
    left, right = likely_pairs_module._unseen(symmetric(known))
    guess = np.triu(np.maximum(left @ right.T, 0) + symmetric(known).toarray())
    monkeypatch.setattr(likely_pairs_module, "_BLOCK", block)
    columns = likely_pairs(known, Layout(12), 15).columns
    listed = guess[columns.row_index, columns.values]
    np.testing.assert_allclose(np.sort(listed), np.sort(guess[guess > 0])[-15:], rtol=1e-5)


def test_sums_do_not_depend_on_how_many_users_are_added_at_once(monkeypatch):
    whole = known_pairs(histories(2, 40), NEXT, ITEMS).toarray()
    monkeypatch.setattr(pair_lists, "_USERS", 3)
    np.testing.assert_allclose(known_pairs(histories(2, 40), NEXT, ITEMS).toarray(), whole, rtol=1e-5)


def test_a_short_list_is_shared_by_inputs_and_targets():
    statistic = NextItem((1.0, 3.0))
    known = known_pairs(histories(), statistic, ITEMS)
    listed = likely_pairs(known, statistic.layout(ITEMS), 20)
    assert listed.count == 20
    assert (listed.columns.values >= statistic.layout(ITEMS).inputs).sum() == 10
    keys = listed.columns.row_index * listed.layout.width + listed.columns.values
    assert (np.diff(keys) > 0).all()


def test_a_triangle_becomes_a_symmetric_matrix():
    known = known_pairs(histories(), PLAIN, ITEMS)
    np.testing.assert_array_equal(symmetric(known).toarray(), naive_plain(histories()))
