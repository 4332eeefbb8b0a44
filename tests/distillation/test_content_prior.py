"""What content says of pairs of items, against the products of cosines written down item by item."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.distillation.content_prior import content_rows, era_rows
from fedkd.ragged import Ragged

ITEMS = 12
FLAGS = np.random.default_rng(7).random((ITEMS, 3)) < 0.4
YEARS = np.array([1995, 0, 1994, 1960, 1999, 2000, 1922, 1995, 0, 1969, 1970, 1985])


def public(flags: np.ndarray | None = None, years: np.ndarray | None = None) -> Interactions:
    """Return 20 users of a catalogue that tells what is given; the last item is nobody's."""
    rng = np.random.default_rng(8)
    rows = [np.sort(rng.choice(ITEMS - 1, rng.integers(1, 9), replace=False)) for _ in range(20)]
    catalogue = Catalogue(np.arange(ITEMS).astype(str), years=years)
    if flags is not None:
        catalogue = replace(catalogue, categories=("a", "b", "c"), membership=flags)
    return Interactions(np.arange(20).astype(str), Ragged.from_rows(rows, np.int32), catalogue)


def cosine(one: list[float], other: list[float]) -> float:
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    return float(np.dot(one, other) / lengths) if lengths else 0.0


def eras_of(year: int) -> list[float]:
    """Return how much a year belongs to the era around every fifth year of two millennia."""
    return [max(0.0, 1 - abs(year - middle) / 10) if year else 0.0 for middle in range(1000, 3000, 5)]


def expected(users: Interactions, alike: np.ndarray, weight: float) -> np.ndarray:
    """Return likeness times the root of both popularities, its trace the weight."""
    counts = [sum(item in users.histories[u] for u in range(users.num_users)) + 0.5 for item in range(ITEMS)]
    scaled = alike * np.sqrt(np.outer(counts, counts))
    return weight * scaled / np.trace(scaled)


def likeness(said: list[list[float]]) -> np.ndarray:
    return np.array([[cosine(one, other) for other in said] for one in said])


CATEGORIES = likeness(FLAGS.astype(float).tolist())
ERAS = likeness([eras_of(year) for year in YEARS.tolist()])


def test_categories_alone_say_the_cosine_of_two_items_times_the_root_of_their_popularities() -> None:
    users = public(FLAGS)
    rows = content_rows(users, 5.0)
    assert rows.shape == (3, ITEMS)
    np.testing.assert_allclose(rows.T @ rows, expected(users, CATEGORIES, 5.0), atol=1e-12)


def test_years_alone_say_the_cosine_of_two_items_eras() -> None:
    users = public(years=YEARS)
    rows = content_rows(users, 5.0)
    np.testing.assert_allclose(rows.T @ rows, expected(users, ERAS, 5.0), atol=1e-12)


def test_both_add_a_third_kind_where_categories_and_eras_agree() -> None:
    users = public(FLAGS, YEARS)
    kinds = (CATEGORIES, ERAS, CATEGORIES * ERAS)
    rows = content_rows(users, 5.0)
    np.testing.assert_allclose(rows.T @ rows, sum(expected(users, kind, 5.0) for kind in kinds), atol=1e-12)
    assert rows.any(axis=1).all()


@pytest.mark.parametrize("years", [None, np.zeros(ITEMS, np.int64)])
def test_without_a_single_year_content_is_that_of_the_categories(years: np.ndarray | None) -> None:
    np.testing.assert_array_equal(content_rows(public(FLAGS, years), 5.0), content_rows(public(FLAGS), 5.0))
    assert content_rows(public(None, years), 5.0).shape == (0, ITEMS)


def test_items_of_no_category_add_nothing_whatever_the_weight() -> None:
    assert not content_rows(public(np.zeros((ITEMS, 3), bool)), 1e9).any()


def test_an_unknown_year_is_of_no_era() -> None:
    rows = era_rows(YEARS)
    np.testing.assert_array_equal(rows.any(axis=0), YEARS > 0)
    assert era_rows(np.zeros(4, np.int64)).shape == (0, 4)


@given(arrays(np.int64, st.integers(0, 20), elements=st.integers(1000, 2999) | st.just(0)))
def test_near_years_share_eras_and_distant_ones_do_not(years: np.ndarray) -> None:
    rows = era_rows(years)
    assert rows.any(axis=1).all()
    shared = rows.T @ rows
    gap = np.abs(years[:, None] - years)
    known = np.outer(years > 0, years > 0)
    assert (shared[known & (gap < 10)] > 0).all()
    assert not shared[~known | (gap >= 20)].any()
    np.testing.assert_allclose(rows.sum(axis=0)[years > 0], 2.0)
