"""What is lost and gained, user by user."""

import numpy as np
import pytest

from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.evaluation.evaluator import Lists
from fedkd.lists.changes import changes
from fedkd.ragged import Ragged


def interactions(*histories: list[int]) -> Interactions:
    items = Catalogue(np.arange(6).astype(np.str_), None, ("a", "b"), np.arange(6)[:, None] % 2 == np.arange(2))
    return Interactions(np.arange(len(histories)).astype(np.str_), Ragged.from_rows(histories, np.int32), items)


TRAIN = interactions([0], [0, 1], [0, 1, 2])
FOLD = Fold(TRAIN, TRAIN, interactions([1], [5], [3]))


def test_changes_are_paired_over_users() -> None:
    before = Lists(np.arange(3), np.array([[1, 3], [3, 5], [5, 5]]))
    after = Lists(np.arange(3), np.array([[1, 2], [5, 2], [3, 2]]))
    found = changes(before, after, FOLD)
    second = 1 / np.log2(3)
    assert found["ndcg@20"]["before"] == pytest.approx((1 + second) / 3)
    assert found["ndcg@20"]["change"]["mean"] == pytest.approx((0 + 1 - second + 1) / 3)
    tail = found["recall@20, tail"]
    assert (tail["before"], tail["after"]) == (pytest.approx(2 / 3), 1.0)
    assert tail["change"] == pytest.approx({"mean": 1 / 3, "low": 0.0, "high": 1.0})
    assert (found["diversity@10"]["before"], found["diversity@10"]["after"]) == (0, 1)
    assert found["coverage@10"] == {"before": 0.5, "after": pytest.approx(4 / 6)}
    assert found["novelty@10"]["before"] > 0
