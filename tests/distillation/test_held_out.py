"""Public users who judge a student: nothing of them is learnt from, and they judge by the ends of their histories."""

import numpy as np
import pytest

from fedkd.distillation.held_out import held_out
from fedkd.models.popularity import Popularity
from fedkd.ragged import Ragged

HISTORIES = Ragged.from_rows([[user, *range(20, 29)] for user in range(10)], np.int32)


def rows(histories: Ragged) -> list[list[int]]:
    return [histories[row].tolist() for row in range(len(histories))]


def test_a_fifth_is_held_out_and_the_rest_is_kept_as_it_was() -> None:
    kept, _ = held_out(HISTORIES, np.random.default_rng(0))
    assert len(kept) == 8
    assert all(row in rows(HISTORIES) for row in rows(kept))


@pytest.mark.parametrize(("best", "quality"), [([27, 28], 1.0), ([28], 0.6131), ([20, 21], 0.0)])
def test_the_last_fifth_of_a_history_is_to_be_found(best: list[int], quality: float) -> None:
    scores = np.zeros(60, np.float32)
    scores[30:] = 1  # so many others come first that nothing is found by chance
    scores[best] = [3 - 0.1 * place for place in range(len(best))]
    _, judge = held_out(HISTORIES, np.random.default_rng(0))
    assert judge(Popularity(scores)) == pytest.approx(quality, abs=1e-4)


def test_histories_of_one_item_judge_nothing() -> None:
    _, judge = held_out(Ragged.from_rows([[0], [1], [2], [3], [4]], np.int32), np.random.default_rng(0))
    assert judge(Popularity(np.zeros(60, np.float32))) == 0.0
