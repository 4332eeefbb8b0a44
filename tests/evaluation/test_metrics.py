import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, R, Success, nDCG
from numpy.typing import NDArray

from fedkd.evaluation.metrics import METRICS, ranking_metrics, top_items
from fedkd.ragged import Ragged

ORACLE = [nDCG @ 10, nDCG @ 20, R @ 10, R @ 20, Success @ 10, RR @ 10]


def case(rng: np.random.Generator, rows: int, items: int, levels: int) -> tuple[NDArray[np.float32], Ragged, Ragged]:
    """Random scores with ties, histories and targets that do not overlap."""
    scores = rng.integers(0, levels, (rows, items)).astype(np.float32)
    seen, targets = [], []
    for _ in range(rows):
        order = rng.permutation(items)
        cut = rng.integers(0, items - 1)
        end = rng.integers(cut + 1, items + 1)
        seen.append(order[:cut])
        targets.append(order[cut:end])
    return scores, Ragged.from_rows(seen, np.int32), Ragged.from_rows(targets, np.int32)


def naive_order(scores: NDArray[np.float32], seen: NDArray[np.int32]) -> list[int]:
    return sorted(set(range(len(scores))) - set(seen.tolist()), key=lambda item: (-scores[item], item))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.sampled_from([1, 3, 1000]))
def test_lists_equal_a_naive_sort(seed: int, items: int, levels: int) -> None:
    scores, seen, _ = case(np.random.default_rng(seed), 5, items, levels)
    top = top_items(scores, seen)
    for row in range(5):
        order = naive_order(scores[row], seen[row])[:20]
        assert top[row, : len(order)].tolist() == order


def test_a_row_of_equal_scores_is_listed_by_item_and_beside_seen_ones():
    scores = np.array([[0, 0, 0, 0], [0, 2, 0, 1], [-0.0, 0.0, -1, 0]], np.float32)
    seen = Ragged.from_rows([[1], [], [0, 1, 3]], np.int32)
    assert top_items(scores, seen, 2).tolist() == [[0, 2], [1, 3], [2, -1]]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.sampled_from([1, 3, 1000]))
def test_metrics_equal_ir_measures(seed: int, items: int, levels: int) -> None:
    scores, seen, targets = case(np.random.default_rng(seed), 4, items, levels)
    ours = ranking_metrics(scores, seen, targets)
    qrels = [ir_measures.Qrel(str(r), str(i), 1) for r in range(4) for i in targets[r]]
    run = [
        ir_measures.ScoredDoc(str(row), str(item), float(-rank))
        for row in range(4)
        for rank, item in enumerate(naive_order(scores[row], seen[row]))
    ]
    for metric in ir_measures.iter_calc(ORACLE, qrels, run):
        column = METRICS[ORACLE.index(metric.measure)]
        assert ours[int(metric.query_id), METRICS.index(column)] == pytest.approx(metric.value, abs=1e-6)


def test_a_perfect_list_scores_one() -> None:
    scores = np.array([[5, 4, 3, 2, 1]], np.float32)
    values = ranking_metrics(scores, Ragged.from_rows([[]], np.int32), Ragged.from_rows([[0, 1]], np.int32))
    assert values.tolist() == [[1.0] * len(METRICS)]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        top_items(np.array([[1.0, bad]], np.float32), Ragged.from_rows([[]], np.int32))


def test_seen_items_are_never_listed_and_never_hit() -> None:
    seen, targets = Ragged.from_rows([[0], [1, 2]], np.int32), Ragged.from_rows([[2], [1]], np.int32)
    scores = np.array([[3, 2, 1], [1, 2, 3]], np.float32)
    assert top_items(scores, seen).tolist() == [[1, 2, -1], [0, -1, -1]]
    assert ranking_metrics(scores, seen, targets)[:, METRICS.index("hr@10")].tolist() == [1.0, 0.0]
