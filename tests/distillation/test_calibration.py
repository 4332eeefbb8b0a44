"""Calibration on hard labels that were drawn from known distributions."""

import numpy as np
import pytest

from fedkd.distillation.calibration import calibrated_ensemble, latest_held_out
from fedkd.models.ease import EASE
from fedkd.ragged import Ragged

ITEMS = 8


def drawn(weights: np.ndarray, temperature: float, users: int = 3000) -> tuple[Ragged, Ragged]:
    """Return histories of one item, and the next item drawn from a linear model's softmax without the first one."""
    rng = np.random.default_rng(0)
    first = rng.integers(ITEMS, size=users)
    scores = weights[first] / temperature
    scores[np.arange(users), first] = -np.inf
    second = (scores + rng.gumbel(size=scores.shape)).argmax(1)
    return Ragged.from_rows(first[:, None], np.int32), Ragged.from_rows(second[:, None], np.int32)


def test_the_temperature_and_the_member_that_tell_the_truth_are_found() -> None:
    rng = np.random.default_rng(1)
    truth, noise = rng.normal(size=(ITEMS, ITEMS)), rng.normal(size=(ITEMS, ITEMS))
    ensemble = calibrated_ensemble([EASE(truth), EASE(noise)], *drawn(truth, 0.4))
    assert float(ensemble.temperatures[0]) == pytest.approx(0.4, rel=0.1)
    assert float(ensemble.weights[0]) == pytest.approx(1.0, abs=0.1)
    assert float(ensemble.weights[1] / ensemble.temperatures[1]) < 0.1


def test_members_that_know_different_things_are_both_heard() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.normal(size=(ITEMS, ITEMS)), 5 * rng.normal(size=(ITEMS, ITEMS))
    ensemble = calibrated_ensemble([EASE(one), EASE(other)], *drawn(one + other / 5, 0.5))
    strength = (ensemble.weights / ensemble.temperatures).tolist()
    assert strength == pytest.approx([2.0, 0.4], rel=0.15)


def test_the_latest_items_are_held_out() -> None:
    shown, wanted = latest_held_out(Ragged.from_rows([[1, 2, 3, 4, 5, 6], [7], [], [3, 2]], np.int32), 0.3)
    assert [row.tolist() for row in shown] == [[1, 2, 3, 4], [3]]
    assert [row.tolist() for row in wanted] == [[5, 6], [2]]
