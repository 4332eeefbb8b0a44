"""Made-up check-ins: contracts, the shape of Gowalla, and what recommenders find in them."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import linalg

from fedkd.data.interactions import Interactions
from fedkd.data.sessions import sessions
from fedkd.data.sources.check_ins import CheckInOptions, draw_atlas, generate
from fedkd.errors import UserError

Floats = NDArray[np.float32]


@pytest.mark.parametrize(("users", "items", "mean"), [(10, 20, 3), (10, 20, 16), (50, 230, 5), (10, 999, 60)])
def test_sizes_odd_and_even_keep_the_contract(users: int, items: int, mean: float) -> None:
    data = generate(CheckInOptions(users=users, items=items, mean_history=mean))
    assert (data.num_users, data.num_items, len(data.histories)) == (users, items, users)
    assert data.matrix().max() == 1
    assert data.histories.lengths.min() >= 2
    assert data.times is not None
    assert np.all(np.diff(data.times)[np.diff(data.histories.row_index) == 0] > 0)


def test_equal_seeds_give_equal_data_and_others_other() -> None:
    first, again, other = (generate(CheckInOptions(users=40, items=90, mean_history=9, seed=s)) for s in (3, 3, 4))
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_sizes_that_cannot_be_are_refused_by_their_own_keys() -> None:
    with pytest.raises(UserError, match=r"lower data\.check-ins\.users"):
        generate(CheckInOptions(users=10**8))
    with pytest.raises(UserError, match=r"data\.check-ins\.mean-history is 60.*at most 40"):
        generate(CheckInOptions(users=10, items=50, mean_history=60))


def test_places_are_visited_by_rank_and_by_fame() -> None:
    atlas, rng = draw_atlas(300, np.random.default_rng(0)), np.random.default_rng(1)
    visits = np.bincount(atlas.near(np.full(200_000, 7), rng), minlength=300) / 200_000
    rank = np.argsort(np.argsort(np.square(atlas.position - atlas.position[7]).sum(1)))
    expected = (rank + 20) ** -0.84 * atlas.fame
    np.testing.assert_allclose(visits, expected / expected.sum(), atol=4e-3)
    assert np.all(atlas.city[atlas.in_city(np.full(50, 1), rng)] == 1)
    share = np.bincount(atlas.anywhere(200_000, rng), minlength=300) / 200_000
    np.testing.assert_allclose(share, atlas.fame / atlas.fame.sum(), atol=4e-3)


@pytest.fixture(scope="module")
def data() -> Interactions:
    return generate(CheckInOptions(users=3000, items=4100, seed=1))


def test_histories_and_popularity_have_heavy_tails(data: Interactions) -> None:
    lengths, popularity = data.histories.lengths, data.popularity()
    assert lengths.mean() == pytest.approx(34.4, rel=0.03)
    assert np.median(lengths) < 0.8 * lengths.mean()
    assert popularity.max() > 20 * popularity.mean()
    assert (popularity == 0).mean() < 0.01


def test_visits_come_in_outings(data: Interactions) -> None:
    outings = sessions(data, 24 * 60)
    assert 2 < outings.lengths.mean() < 4
    assert np.median(outings.within) < 2 * 3600
    assert np.median(outings.between) > 2 * 86_400
    assert data.times is not None
    first, last = data.histories.indptr[:-1], data.histories.indptr[1:] - 1
    days = (data.times[last] - data.times[first]).sum() / 86_400
    assert len(data) / days == pytest.approx(0.68, rel=0.1)  # Foursquare of New York, as published


def test_neighbours_tell_far_more_than_popularity(data: Interactions) -> None:
    held_out = np.random.default_rng(0).random(len(data)) < 0.2
    best = np.argsort(-data.where(~held_out).popularity())[:600]
    train, test = (data.where(part).matrix(np.float32).toarray()[:, best] for part in (~held_out, held_out))
    inverse = linalg.inv(train.T @ train + 50 * np.eye(600, dtype=np.float32))
    ease = train @ (np.eye(600) - inverse / np.diag(inverse))
    popularity = np.tile(train.sum(0), (len(train), 1))
    assert _recall(ease, train, test) > 1.8 * _recall(popularity, train, test)


def _recall(scores: Floats, train: Floats, test: Floats) -> float:
    top = np.argsort(-np.where(train > 0, -np.inf, scores), axis=1)[:, :20]
    size = test.sum(1)
    return float((np.take_along_axis(test, top, 1).sum(1)[size > 0] / size[size > 0]).mean())
