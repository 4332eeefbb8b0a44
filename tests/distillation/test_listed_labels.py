"""Lists of soft labels stand for the whole of them in the loss that compares lists."""

import numpy as np
import pytest
import torch

from fedkd.distillation.listed_labels import listed, unlisted
from fedkd.losses.softmax import top_divergence
from fedkd.models.base import multi_hot, padded_histories
from fedkd.ragged import Ragged

HISTORIES = Ragged.from_rows([[0, 3], [5], [1, 2, 4]], np.int32)
SCORES = np.random.default_rng(0).normal(0, 2, (3, 9)).astype(np.float32)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("top", [3, 6])
def test_the_loss_on_lists_is_that_on_everything(top: int, temperature: float) -> None:
    full = torch.from_numpy(unlisted(listed(SCORES, HISTORIES, top, temperature), 9))
    counted = multi_hot(padded_histories(HISTORIES, 9), 9) == 0
    student = torch.from_numpy(np.random.default_rng(1).normal(0, 2, (3, 9)).astype(np.float32))
    found, wanted = (top_divergence(student, s, temperature, counted, top) for s in (full, torch.from_numpy(SCORES)))
    torch.testing.assert_close(found, wanted, atol=0.01 * temperature**2, rtol=0.02)


def test_a_list_of_everything_takes_four_bytes_an_item_and_has_no_holes() -> None:
    lists = listed(SCORES, Ragged.from_rows([[*range(8)], [], [1]], np.int32), 100, 1.0)
    assert lists["items"].shape == (3, 9)
    assert sum(array.itemsize for name, array in lists.items() if name != "rest") == 4
    assert all(np.isfinite(array).all() for array in lists.values())
    full = unlisted(lists, 9)
    assert full[0].argmax() == 8  # the only item that is not in the history
    assert np.abs(full).max() < 20  # items of the history have no logits out of all proportion
