from itertools import combinations

import numpy as np
import pytest

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.evaluation.beyond import agreement, beyond_accuracy, coverage, diversity, novelty
from fedkd.evaluation.evaluator import Lists
from fedkd.ragged import Ragged

MEMBERSHIP = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [0, 0]], bool)
LISTS = Lists(np.arange(3), np.array([[0, 1, 2], [3, 4, -1], [2, -1, -1]], np.int64))


def train() -> Interactions:
    catalogue = Catalogue(np.arange(5).astype(np.str_), None, ("a", "b"), MEMBERSHIP)
    return Interactions(
        np.arange(4).astype(np.str_), Ragged.from_rows([[0, 1], [0, 2], [0, 1], [0]], np.int32), catalogue
    )


def test_coverage_counts_every_item_once() -> None:
    assert coverage(LISTS, 10) == 0.5
    assert coverage(LISTS, 10, k=1) == 0.3


def test_novelty_is_self_information() -> None:
    bits = [0, 1, 2, 2, 2, 2]  # users of items 0, 1, 2, 3, 4, 2: 4, 2, 1, none, none, 1 of 4
    assert novelty(LISTS, train()) == pytest.approx(np.mean(bits))


def test_diversity_equals_a_loop_over_pairs() -> None:
    def distance(a: int, b: int) -> float:
        x, y = MEMBERSHIP[a].astype(float), MEMBERSHIP[b].astype(float)
        lengths = np.linalg.norm(x) * np.linalg.norm(y)
        return 1.0 - (x @ y / lengths if lengths else 0.0)

    expected = [np.mean([distance(a, b) for a, b in combinations(items, 2)]) for items in ([0, 1, 2], [3, 4])]
    assert diversity(LISTS, MEMBERSHIP) == pytest.approx(np.mean(expected))


def test_agreement_is_the_overlap_of_lists() -> None:
    other = Lists(LISTS.users, np.array([[2, 1, 4], [4, 3, -1], [0, -1, -1]], np.int64))
    assert agreement(LISTS, other) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert agreement(LISTS, LISTS) == 1.0
    with pytest.raises(ValueError, match="same users"):
        agreement(LISTS, Lists(np.arange(1, 4), LISTS.items))


def test_diversity_is_left_out_without_categories() -> None:
    assert set(beyond_accuracy(LISTS, train())) == {"coverage@10", "novelty@10", "diversity@10"}
    plain = Interactions(train().users, train().histories, Catalogue(train().catalogue.ids))
    assert set(beyond_accuracy(LISTS, plain)) == {"coverage@10", "novelty@10"}
