import itertools

import numpy as np
import pytest

from fedkd.data.catalogue import Catalogue
from fedkd.feedback import measures
from fedkd.feedback.memory import Memory

LISTS = np.random.default_rng(0).permuted(np.tile(np.arange(9), (7, 1)), axis=1)[:, :4]


def test_gini_is_that_of_the_mean_difference() -> None:
    counts = np.bincount(LISTS.ravel(), minlength=9)
    naive = sum(abs(a - b) for a, b in itertools.product(counts, counts)) / (2 * 9 * counts.sum())
    assert measures.gini(LISTS, 9) == pytest.approx(naive)
    assert measures.gini(np.arange(9)[None], 9) == pytest.approx(0.0)


def test_diversity_within_and_between_users() -> None:
    genre = np.array([0, 0, 1, 1, 1, 2, 2, 2, 2])
    within = [genre[a] != genre[b] for row in LISTS for a, b in itertools.combinations(row, 2)]
    between = [1 - len({*a} & {*b}) / 4 for a, b in itertools.combinations(LISTS.tolist(), 2)]
    assert measures.within_users(LISTS, genre) == pytest.approx(np.mean(within))
    assert measures.between_users(LISTS, 9) == pytest.approx(np.mean(between))


def test_popularity_lift_is_against_the_users_own_histories() -> None:
    popularity = np.array([10, 20, 30])
    lists, own = np.array([[0, 1], [2, 2]]), np.array([15.0, np.nan])
    assert measures.popularity_lift(lists, popularity, own) == pytest.approx(0.0)  # who has no history does not count


def test_minorities_are_the_smallest_communities() -> None:
    community = np.repeat([0, 1, 2], [70, 20, 10])
    assert measures.smallest(community, np.array([0, 75, 95]), share=0.15).tolist() == [False, False, True]


def test_memory_keeps_a_pair_once_and_in_order() -> None:
    memory = (
        Memory.empty(3, 4).after(np.array([2, 0, 2]), np.array([3, 1, 3])).after(np.array([2, 0]), np.array([0, 1]))
    )
    histories = memory.interactions(Catalogue.numbered(4)).histories
    assert [row.tolist() for row in histories] == [[1], [], [3, 0]]
    assert memory.seen.sum() == 3
