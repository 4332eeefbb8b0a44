"""The graph is the same for everyone, regular, and dense enough."""

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import hypergeom

from fedkd.secure_aggregation.graph import COMPLETE, Ring, shape


@pytest.mark.parametrize("members", [33, 34, 47, 64, 100, 101, 300, 943])
def test_failures_are_rarer_than_promised(members: int) -> None:
    form = shape(members)
    dropped, colluding = 3 * members // 10, -(-members // 10)
    too_few = hypergeom.cdf(form.threshold - 1, members - 1, members - 1 - dropped, form.neighbours)
    captured = hypergeom.sf(form.threshold - 1, members - 1, colluding, form.neighbours)
    assert members * too_few < 2**-20
    assert members * captured < 2**-30


def test_the_shape_for_a_hundred() -> None:
    assert (shape(100).neighbours, shape(100).threshold) == (34, 11)


@pytest.mark.parametrize("members", range(2, COMPLETE + 1))
def test_small_cohorts_are_joined_completely(members: int) -> None:
    form = shape(members)
    assert form.neighbours == members - 1
    assert form.threshold == min(members - 1, max(-(-members // 10) + 1, members - 1 - 3 * members // 10))
    places = np.arange(members) * 3
    ring = Ring(b"context", places)
    for place in places:
        assert sorted([*ring.neighbours(int(place)), place]) == list(places)


def test_two_sets_of_survivors_cannot_both_be_answered_in_cohorts_of_5_to_32() -> None:
    for members in range(5, COMPLETE + 1):
        form = shape(members)
        assert 2 * form.threshold > form.neighbours + -(-members // 10), members


def test_no_sets_of_survivors_open_the_neighbours_tables_in_cohorts_of_8_to_32() -> None:
    """Whose own mask and tables would tell a vector: the honest voters of one round are too few for all of them."""
    for members in range(8, COMPLETE + 1):
        form, colluding = shape(members), -(-members // 10)
        votes = (members - colluding - 1) * (form.neighbours - form.threshold)
        assert votes < (form.threshold - colluding) ** 2, members


def test_a_circle_is_cut_where_half_the_neighbours_in_a_row_are_gone() -> None:
    members, alive = np.arange(100) * 2, np.ones(200, bool)
    ring = Ring(b"context", members)
    half = ring.shape.neighbours // 2
    order = circle(ring, members)
    for start in (0, 40, 95):
        for gone, is_cut in ((half - 1, False), (half, True)):
            left = alive.copy()
            left[np.roll(order, -start)[:gone]] = False
            assert ring.is_cut(left) == is_cut
    small = Ring(b"context", np.arange(32))
    assert not small.is_cut(np.arange(32) < 8)


def test_random_drop_outs_of_three_tenths_cut_no_circle() -> None:
    rng = np.random.default_rng(0)
    for number in range(300):
        ring, left = Ring(str(number).encode(), np.arange(100)), np.ones(100, bool)
        left[rng.permutation(100)[:30]] = False
        assert not ring.is_cut(left)


def circle(ring: Ring, members: np.ndarray) -> np.ndarray:
    """Return the members in the order of the circle, out of who is whose next neighbour."""
    order = [int(members[0])]
    while len(order) < len(members):
        order.append(ring.neighbours(order[-1])[0])
    return np.array(order)


@pytest.mark.parametrize("members", [2, 3, 4, 7, 32, 33, 100])
def test_neighbours_know_each_other_by_number(members: int) -> None:
    ring = Ring(b"context", np.arange(members))
    k = ring.shape.neighbours
    for place in range(members):
        others = ring.neighbours(place)
        assert len(set(others)) == k
        assert place not in others
        for j, other in enumerate(others):
            assert ring.neighbours(other)[k - 1 - j] == place


def test_the_graph_depends_on_round_and_cohort_alone() -> None:
    def edges(context: bytes, members: int) -> list[list[int]]:
        ring = Ring(context, np.arange(members))
        return [ring.neighbours(place) for place in range(members)]

    assert edges(b"one", 60) == edges(b"one", 60)
    assert edges(b"one", 60) != edges(b"two", 60)
    assert edges(b"one", 60) != edges(b"one", 61)[:60]


def test_what_is_left_hangs_together() -> None:
    rng = np.random.default_rng(0)
    ring = Ring(b"context", np.arange(100))
    pairs = np.array([(u, v) for u in range(100) for v in ring.neighbours(u)])
    for _ in range(200):
        left = rng.permutation(100)[:60]  # 30 % dropped, 10 % colluding
        kept = pairs[np.isin(pairs, left).all(axis=1)]
        graph = coo_array((np.ones(len(kept)), kept.T), (100, 100))
        assert connected_components(graph, directed=False)[0] == 1 + 40
