"""Sampled histories: what they begin with, how items are drawn, and at which scale."""

import numpy as np
import pytest

from fedkd.distillation import sampled_histories as module
from fedkd.distillation.sampled_histories import (
    Beginnings,
    popular_beginnings,
    public_beginnings,
    sampled_histories,
    sampling_scale,
)
from fedkd.models.decayed_linear import DecayedLinear
from fedkd.models.ease import EASE
from fedkd.ragged import Ragged

ITEMS = 6
WEIGHTS = np.random.default_rng(3).normal(size=(ITEMS, ITEMS))
PUBLIC = Ragged.from_rows([[0, 1, 2, 3, 4], [], [5, 4], [3]], np.int32)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def chances(history: list[int], scale: float) -> np.ndarray:
    """Return the softmax over unseen items after a history, by its formula."""
    scores = np.exp(scale * WEIGHTS[history].sum(axis=0))
    scores[history] = 0
    return scores / scores.sum()


def test_items_are_drawn_from_the_softmax_over_unseen_items() -> None:
    count, scale = 4000, 0.7
    begun = Beginnings(Ragged.from_rows([[2]] * count, np.int32), np.full(count, 3))
    drawn = sampled_histories(EASE(WEIGHTS), begun, scale, rng()).values.reshape(count, 3)
    assert (drawn[:, 0] == 2).all()
    expected = np.zeros((ITEMS, ITEMS))
    for second in range(ITEMS):
        if second != 2:
            expected[second] = chances([2], scale)[second] * chances([2, second], scale)
    found = np.zeros((ITEMS, ITEMS))
    np.add.at(found, (drawn[:, 1], drawn[:, 2]), 1 / count)
    assert np.abs(found - expected).max() < 0.02


def test_the_order_of_a_history_reaches_the_model() -> None:
    last = np.roll(np.eye(ITEMS), 1, axis=1)  # after item i comes i + 1
    begun = Beginnings(Ragged.from_rows([[4, 0], [0, 3]], np.int32), np.array([4, 3]))
    drawn = sampled_histories(DecayedLinear(last, np.array([5.0])), begun, 1000.0, rng())
    assert [row.tolist() for row in drawn] == [[4, 0, 1, 2], [0, 3, 4]]


def test_rows_keep_their_beginnings_and_lengths_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Ragged.from_rows([[1], [], [3, 0, 5], [2, 4]], np.int32)
    begun = Beginnings(shown, np.array([4, 2, 1, 50]))
    drawn = sampled_histories(EASE(WEIGHTS), begun, 1.0, rng())
    assert drawn.lengths.tolist() == [4, 2, 3, ITEMS]
    assert drawn.values.dtype == np.int32
    for first, whole in zip(shown, drawn, strict=True):
        assert whole[: len(first)].tolist() == first.tolist()
        assert len(set(whole.tolist())) == len(whole)
    monkeypatch.setattr(module, "BLOCK", 1)
    again = sampled_histories(EASE(WEIGHTS), begun, 1.0, rng())
    np.testing.assert_array_equal(drawn.values, again.values)


def test_a_chance_that_rounds_to_the_whole_draws_a_possible_item() -> None:
    begun = Beginnings(Ragged.from_rows([[ITEMS - 1]], np.int32), np.array([2]))

    class AlmostOne(np.random.Generator):
        def random(self, size: int) -> np.ndarray:  # type: ignore[override]
            return np.full(size, np.nextafter(1.0, 0.0))

    drawn = sampled_histories(EASE(WEIGHTS), begun, 1.0, AlmostOne(np.random.PCG64(0)))
    assert drawn.values.tolist() == [ITEMS - 1, ITEMS - 2]


@pytest.mark.parametrize("ordered", [True, False])
def test_beginnings_are_some_items_of_public_histories(ordered: bool) -> None:
    begun = public_beginnings(PUBLIC, 300, 3, ordered, rng())
    known = [row.tolist() for row in PUBLIC]
    assert set(begun.shown.lengths.tolist()) == {1, 2, 3}
    assert set(begun.lengths.tolist()) == {5, 2, 1}
    runs = {tuple(row[i : i + n]) for row in known for n in (1, 2, 3) for i in range(len(row) - n + 1)}
    found = {tuple(row.tolist()) for row in begun.shown}
    assert (found == runs) if ordered else (found > runs)
    assert all(any(set(row) <= set(whole) for whole in known) for row in found)
    assert public_beginnings(PUBLIC, 9, 3, ordered, rng(), longest=2).lengths.max() == 2


def test_popular_items_begin_where_there_are_no_public_users() -> None:
    begun = popular_beginnings(np.array([0.0, 3.0, 1.0]), 1000, rng())
    assert np.bincount(begun.shown.values, minlength=3) / 1000 == pytest.approx([0, 0.75, 0.25], abs=0.05)
    assert set(popular_beginnings(np.zeros(3), 100, rng()).shown.values.tolist()) == {0, 1, 2}
    assert set(begun.lengths) == {module.LENGTH}


@pytest.mark.parametrize("ordered", [True, False])
def test_the_scale_is_the_one_that_the_histories_were_sampled_with(ordered: bool) -> None:
    begun = Beginnings(Ragged.from_rows([[i % ITEMS] for i in range(3000)], np.int32), np.full(3000, 2))
    known = sampled_histories(EASE(WEIGHTS), begun, 2.5, rng())
    assert sampling_scale(EASE(WEIGHTS), known, ordered, rng(), users=2000) == pytest.approx(2.5, rel=0.15)


def test_without_public_users_the_scale_follows_from_the_scores() -> None:
    nobody = Ragged.from_rows([], np.int32)
    assert sampling_scale(EASE(WEIGHTS), nobody, False, rng()) == pytest.approx(1 / WEIGHTS.std(), rel=1e-4)
    assert np.isfinite(sampling_scale(EASE(np.zeros((3, 3))), nobody, True, rng()))
