"""The linear model of decayed histories against its formula, and with scores of one size."""

import numpy as np
import pytest
import torch

from fedkd.models.decayed_linear import DecayedLinear
from fedkd.models.standardised import Standardised

ITEMS = 60


@pytest.mark.parametrize("rates", [(2.0,), (1.0, 0.1), (0.0,)])
@pytest.mark.parametrize("length", [0, 3, 50])
def test_scores_equal_the_formula(rates: tuple[float, ...], length: int) -> None:
    rng = np.random.default_rng(length)
    weights, items = rng.normal(size=(len(rates) * ITEMS, ITEMS)), rng.permutation(ITEMS)[:length]
    expected = np.zeros(ITEMS)
    for decay, rate in enumerate(rates):
        for back, item in enumerate(items[::-1]):
            expected += np.exp(-rate * back) * weights[decay * ITEMS + item]
    padded = np.concatenate([[ITEMS, ITEMS], items])
    model = DecayedLinear(weights, np.array(rates))
    history = torch.from_numpy(np.stack([padded, np.full(len(padded), ITEMS)]))
    np.testing.assert_allclose(model(history)[0], expected, atol=1e-5)
    torch.testing.assert_close(model(history), model.hidden(history) @ model.weights, atol=1e-5, rtol=0)


def test_a_solution_by_columns_is_kept_by_rows() -> None:
    """Every call reads rows; of another order torch would first copy the whole matrix."""
    weights = np.asfortranarray(np.random.default_rng(0).normal(size=(2 * ITEMS, ITEMS)).astype(np.float32))
    model = DecayedLinear(weights, np.array([1.0, 0.1]))
    assert model.weights.is_contiguous()
    np.testing.assert_array_equal(model.weights, weights)


def test_standardised_scores_have_one_size_and_the_same_order() -> None:
    model = DecayedLinear(np.random.default_rng(0).normal(size=(ITEMS, ITEMS)), np.zeros(1))
    history = torch.tensor([[ITEMS, ITEMS, 4], [1, 2, 3], [ITEMS, ITEMS, ITEMS]])
    raw, scores = model(history), Standardised(model)(history)
    torch.testing.assert_close(scores.mean(1), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(scores.std(1, correction=0), torch.tensor([1.0, 1.0, 0.0]))
    assert torch.equal(scores[:2].argsort(1), raw[:2].argsort(1))
