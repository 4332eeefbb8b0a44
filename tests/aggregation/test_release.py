from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from fedkd.aggregation.sums import Sum
from fedkd.messages.missing import Missing
from fedkd.messages.types import Answers, Kind, LowRankUpdate, Quantiser, SparseUpdate, Spec
from fedkd.ragged import Ragged

GRID = Quantiser(0.5, -4, 4, 12)
SCORES = {"y": Spec(Kind.SCORES, (3, 4), quantiser=GRID)}


def outer(rng: np.random.Generator, clients: int, as_sparse: bool) -> LowRankUpdate:
    owner = np.sort(rng.integers(0, clients, 2 * clients))
    left = rng.normal(size=(len(owner), 3))
    right = rng.integers(0, 2, (len(owner), 4))
    if as_sparse:
        return LowRankUpdate(sparse.csr_array(left), sparse.csr_array(right), owner)
    return LowRankUpdate(left, right, owner)


@pytest.mark.parametrize("as_sparse", [False, True])
def test_coded_outer_products_equal_coding_every_clients_own_matrix(as_sparse: bool) -> None:
    rng = np.random.default_rng(0)
    factors = outer(rng, 5, as_sparse)
    left = np.asarray(factors.left.todense() if as_sparse else factors.left)
    right = np.asarray(factors.right.todense() if as_sparse else factors.right)
    naive = np.zeros((3, 4), np.int64)
    for row in range(len(left)):
        naive += np.clip(np.rint(np.outer(left[row], right[row]) / 0.5), -4, 4).astype(np.int64)
    released = Sum(SCORES).encode(Answers(1, np.arange(5), {"y": factors}))
    assert np.array_equal(released.values["y"], naive)


def test_an_outer_product_with_other_right_factors_cannot_be_coded() -> None:
    factors = LowRankUpdate(np.ones((1, 3)), np.full((1, 4), 0.5), np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="zeros and ones"):
        Sum(SCORES).encode(Answers(1, np.arange(1), {"y": factors}))


@given(st.integers(1, 6), st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 5))
def test_a_client_with_values_that_are_not_finite_is_refused_alone(clients: int, bad: float, who: int) -> None:
    who %= clients
    dense = np.ones((clients, 3, 4))
    dense[who, 1, 2] = bad
    left = np.ones((clients, 3))
    left[who, 0] = bad
    rows = Ragged(np.where(np.arange(clients) == who, bad, 1.0), np.arange(clients + 1))
    ones = LowRankUpdate(left, np.ones((clients, 4), int), np.arange(clients))
    for values, spec in ((dense, SCORES["y"]), (ones, SCORES["y"]), (rows, Spec(Kind.RATED_ITEMS, (-1,), sums=False))):
        released = Sum({"y": spec}).encode(Answers(1, np.arange(clients) + 10, {"y": values}))
        assert released.clients.tolist() == [10 + c for c in range(clients) if c != who]
        assert released.refused == {Missing.NOT_FINITE: [10 + who]}
        if spec.sums:
            assert np.array_equal(released.values["y"], np.full((3, 4), 2 * (clients - 1)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_integer_sums_do_not_depend_on_the_chunks(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(7, 3, 4))
    whole = Sum(SCORES).encode(Answers(1, np.arange(7), {"y": values}))
    parts = [
        Sum(SCORES).encode(Answers(1, np.arange(7)[chunk], {"y": values[chunk]}))
        for chunk in (slice(cut), slice(cut, 7))
    ]
    merged = Sum(SCORES).merge(parts)
    assert np.array_equal(merged.values["y"], whole.values["y"])
    assert merged.clients.tolist() == whole.clients.tolist()


def test_what_does_not_sum_is_joined_row_by_row() -> None:
    spec = {"t": Spec(Kind.RATED_ITEMS, (-1,), sums=False)}
    parts = [Answers(1, np.array([c]), {"t": Ragged.from_rows([[c, c]], np.float32)}) for c in (3, 8)]
    merged = Sum(spec).merge(parts)
    assert [merged.values["t"][i].tolist() for i in range(2)] == [[3, 3], [8, 8]]


def test_groups_in_any_order_are_joined_in_the_order_of_the_clients() -> None:
    specs = {"rows": Spec(Kind.STATISTICS, (-1,), sums=False), "one": Spec(Kind.STATISTICS, (1,), sums=False)}
    aggregator, parts = Sum(specs), []
    for clients in ([1, 4], [0, 3], [2]):
        rows = Ragged.from_rows([np.full(client, float(client)) for client in clients], np.float32)
        values = {"rows": rows, "one": np.array(clients, np.float32)[:, None]}
        parts.append(aggregator.encode(Answers(1, np.array(clients), values)))
    joined = aggregator.merge(parts)
    assert joined.clients.tolist() == joined.values["one"][:, 0].tolist() == [0, 1, 2, 3, 4]
    assert [row.tolist() for row in joined.values["rows"]] == [[float(n)] * n for n in range(5)]


def test_entries_of_sparse_vectors_are_added_where_they_stand_each_client_s_own() -> None:
    entries = SparseUpdate(np.array([0, 2, 2, 0]), np.array([5, 1, 2, -3]), np.array([0, 0, 1, 2]), 4)
    assert entries.total().tolist() == [2, 0, 3, 0]
    assert entries.of(2).tolist() == [-3, 0, 0, 0]
    grid = Spec(Kind.STATISTICS, (4,), quantiser=Quantiser(1.0, 0, 5, 8))
    halves = SparseUpdate(entries.position, entries.value / 2, entries.owner, 4)
    assert halves.total().tolist() == [1.0, 0.0, 1.5, 0.0]
    broken = SparseUpdate(entries.position, np.array([0.5, np.nan, 1.0, -1.5]), entries.owner, 4)
    kept = Sum({"s": replace(grid, quantiser=Quantiser(0.5, -9, 9, 8))}).encode(Answers(1, np.arange(3), {"s": broken}))
    assert kept.refused == {Missing.NOT_FINITE: [0]}
    assert kept.values["s"].tolist() == [-3, 0, 2, 0]
    bad = {"s": entries, "y": np.where(np.arange(3) == 1, np.nan, 1.0)[:, None]}
    released = Sum({"s": grid, "y": Spec(Kind.SCORES, (1,))}).encode(Answers(1, np.array([4, 6, 9]), bad))
    assert released.clients.tolist() == [4, 9]
    assert released.values["s"].tolist() == [2, 0, 1, 0]
