"""Sessions of made data: their number, their tail, and when everything happens."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fedkd.data.sources.made_sessions import LONGEST_GAP, Slots, draw_slots, draw_times

LENGTHS = np.random.default_rng(7).integers(0, 60, 400)


def slots(mean: float, spread: float = 1.0, lengths: NDArray[np.int64] = LENGTHS) -> Slots:
    return draw_slots(lengths, mean, spread, np.random.default_rng(0))


@pytest.mark.parametrize("mean", [1, 2.26, 11.3])
@pytest.mark.parametrize("spread", [0.0, 1.0, 2.0])
def test_sessions_have_the_mean_that_is_asked_for(mean: float, spread: float) -> None:
    made = slots(mean, spread)
    counted = np.bincount(made.session)
    assert counted.min() >= 1
    assert counted.mean() == pytest.approx(mean, rel=0.02)
    assert np.array_equal(np.bincount(made.user, minlength=len(LENGTHS)), LENGTHS)
    assert len(np.unique(made.user[made.begins])) == np.count_nonzero(LENGTHS)


def test_a_greater_spread_is_a_heavier_tail() -> None:
    even, heavy = (np.bincount(slots(5.0, spread).session) for spread in (0.2, 1.5))
    assert np.median(heavy) < 0.7 * np.median(even)
    assert np.quantile(heavy, 0.95) > 1.5 * np.quantile(even, 0.95)


def test_where_histories_are_too_short_everybody_has_one_session() -> None:
    assert slots(50.0, 1.0, np.array([3, 4, 5])).session.tolist() == [0] * 3 + [1] * 4 + [2] * 5


@pytest.mark.parametrize("days", [0.05, 30.0])
def test_gaps_are_short_within_sessions_and_long_between_them(days: float) -> None:
    made, period = slots(4.0), 86_400 * days
    seconds = draw_times(made, len(LENGTHS), period, 60.0, np.random.default_rng(1))
    assert seconds.min() >= 0
    assert seconds.max() < period
    gaps, same = np.diff(seconds), np.diff(made.user) == 0
    within = gaps[~made.begins[1:]]
    assert 0 < within.min() <= within.max() <= LONGEST_GAP
    assert (gaps[same] > 0).all()
    if days > 1:
        assert np.median(within) == pytest.approx(60, rel=0.1)
        assert gaps[same & made.begins[1:]].min() > 3600
        assert np.median(gaps[same & made.begins[1:]]) > 6 * 3600
