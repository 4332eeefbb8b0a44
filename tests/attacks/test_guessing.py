import numpy as np
import pytest

from fedkd.attacks.guessing import top_guess
from fedkd.protocols.rated_uploads import UploadRule, chosen, swap_top
from fedkd.ragged import Ragged


def uploads(histories, swapped, rng, gap=3.0, items=400):
    names, scores = [], []
    for history in histories:
        others = np.setdiff1d(np.arange(items), history)
        liked, rest = chosen(history, others, UploadRule((0.8, 1.0), (2.5, 2.5), swapped), rng)
        told = swap_top(
            rng.normal(gap, 1, len(liked)).astype(np.float32), rng.normal(0, 1, len(rest)).astype(np.float32), swapped
        )
        names.append(np.concatenate([liked, rest]))
        scores.append(np.concatenate(told))
    return Ragged.from_rows(names, np.int32), Ragged.from_rows(scores, np.float32)


@pytest.fixture
def histories():
    rng = np.random.default_rng(0)
    return [rng.choice(400, rng.integers(10, 40), replace=False) for _ in range(60)]


def test_high_scores_give_histories_away_and_equal_ones_do_not(histories):
    rng, truth = np.random.default_rng(1), Ragged.from_rows(histories, np.int32)
    clear = top_guess(*uploads(histories, 0.0, rng), truth)
    swapped = top_guess(*uploads(histories, 0.5, rng), truth)
    blind = top_guess(*uploads(histories, 0.0, rng, gap=0.0), truth)
    assert clear.value > 0.85
    assert blind.low - 0.02 <= blind.random <= blind.high + 0.02
    assert blind.value < swapped.value < clear.value - 0.1


def test_one_client_by_hand():
    items, scores = Ragged.from_rows([[5, 7, 9, 2]], np.int32), Ragged.from_rows([[0.1, 0.9, 0.8, 0.2]], np.float32)
    found = top_guess(items, scores, Ragged.from_rows([[7, 2, 3]], np.int32), share=0.5)
    assert found.value == pytest.approx(2 * 1 / (2 + 3))
    assert found.random == pytest.approx(2 * (2 * 0.5) / (2 + 3))


def test_clients_without_history_do_not_count():
    nothing = Ragged.from_rows([[]], np.int32)
    assert top_guess(nothing, Ragged.from_rows([[]], np.float32), nothing).trials == 0
