"""The linear model of decayed histories against its formula."""

import numpy as np
import pytest
import torch

from fedkd.models.decayed_linear import DecayedLinear

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
