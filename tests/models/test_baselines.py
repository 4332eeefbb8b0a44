"""Models in closed form against naive loops."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.models import ease, item_knn
from fedkd.models.base import Recommender, multi_hot, padded_histories, score
from fedkd.models.ease import BYTES_PER_PAIR, ease_weights, fit_ease, gram
from fedkd.models.item_knn import fit_item_knn
from fedkd.models.popularity import fit_popularity
from fedkd.ragged import Ragged


def random_interactions(seed: int, users: int = 12, items: int = 9) -> Interactions:
    rng = np.random.default_rng(seed)
    rows = [rng.choice(items, rng.integers(0, items), replace=False) for _ in range(users)]
    return Interactions(np.arange(users).astype(str), Ragged.from_rows(rows, np.int32), Catalogue.numbered(items))


def naive_ease(x: np.ndarray, l2: float) -> np.ndarray:
    """Solve every column as a ridge regression on the other columns, which is what a zero diagonal means."""
    items = x.shape[1]
    weights = np.zeros((items, items))
    for item in range(items):
        others = np.delete(np.arange(items), item)
        design = x[:, others]
        weights[others, item] = np.linalg.solve(design.T @ design + l2 * np.eye(items - 1), design.T @ x[:, item])
    return weights


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), l2=st.floats(0.5, 500))
def test_ease_is_a_ridge_regression_of_every_item_on_the_others(seed: int, l2: float) -> None:
    data = random_interactions(seed)
    x = data.matrix(np.float64).toarray()
    np.testing.assert_allclose(ease_weights(gram(data), l2), naive_ease(x, l2), atol=1e-9)
    model = fit_ease(data, l2)
    np.testing.assert_allclose(score(model, data.histories), x @ naive_ease(x, l2), atol=1e-5)


def test_ease_with_user_weights_equals_ease_of_scaled_rows() -> None:
    data = random_interactions(3)
    weights = np.random.default_rng(0).random(data.num_users)
    rows = data.matrix(np.float64).toarray() * np.sqrt(weights)[:, None]
    np.testing.assert_allclose(ease_weights(gram(data, weights), 2.0), naive_ease(rows, 2.0), atol=1e-9)


@pytest.mark.parametrize("l2", [0.0, -1.0, float("nan")])
def test_ease_refuses_a_ridge_that_is_not_positive(l2: float) -> None:
    with pytest.raises(UserError, match="must be positive"):
        fit_ease(random_interactions(0), l2)


def test_ease_refuses_a_gram_matrix_that_is_not_positive_definite() -> None:
    with pytest.raises(UserError, match="raise l2"):
        ease_weights(-10 * np.eye(3), 1.0)


def test_ease_stores_the_whole_matrix() -> None:
    assert fit_ease(random_interactions(0), 1.0).size() == (81, 324)


@pytest.mark.parametrize(("k", "shrink"), [(100, 0.0), (3, 2.0), (1, 5.0)])
def test_item_knn_equals_naive_cosine_neighbours(k: int, shrink: float) -> None:
    data = random_interactions(7)
    x = data.matrix(np.float64).toarray()
    expected = np.zeros_like(x)
    for item in range(data.num_items):
        pairs = []
        for other in range(data.num_items):
            norm = np.sqrt(x[:, item].sum() * x[:, other].sum()) + shrink
            if other != item and norm > 0:
                pairs.append((-(x[:, item] @ x[:, other]) / norm, other))
        for similarity, other in sorted(pairs)[:k]:
            expected[:, item] -= similarity * x[:, other]
    np.testing.assert_allclose(score(fit_item_knn(data, k, shrink), data.histories), expected, atol=1e-5)


def test_popularity_counts_users_and_ignores_the_history() -> None:
    data = random_interactions(1)
    scores = score(fit_popularity(data), data.histories)
    assert scores.tolist() == [data.popularity().tolist()] * data.num_users


def test_multi_hot_drops_padding_and_empty_rows() -> None:
    history = padded_histories(Ragged.from_rows([[2, 0], []], np.int32), 3)
    assert torch.equal(multi_hot(history, 3), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))


@pytest.mark.parametrize("fit", [fit_ease, fit_item_knn])
def test_an_item_counts_once_however_often_a_history_names_it(fit: Callable[..., Recommender]) -> None:
    model = fit(random_interactions(5), 2)
    once, twice = torch.tensor([[9, 2, 7]]), torch.tensor([[7, 2, 7]])
    torch.testing.assert_close(model(once), model(twice))


def test_ease_takes_two_arrays_of_items_x_items_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "_BLOCK", 64)
    items = 512
    data = random_interactions(0, users=40, items=items)
    tracemalloc.start()
    fit_ease(data, 3.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert BYTES_PER_PAIR * items**2 <= peak < 2 * 8 * items**2


def test_item_knn_never_counts_all_pairs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data, whole = random_interactions(7, users=30, items=40), fit_item_knn(random_interactions(7, users=30, items=40))
    monkeypatch.setattr(item_knn, "_BLOCK", 7)
    assert torch.equal(fit_item_knn(data).similarity, whole.similarity)
