"""The sparse student against its full teacher with the small weights struck out."""

import numpy as np
import pytest
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.models.base import score
from fedkd.models.closed_forms import fit
from fedkd.models.ease import EASE, fit_ease
from fedkd.models.sparse import fit_sparse, pruned
from fedkd.ragged import Ragged
from fedkd.testing.models import toy_histories

DATA = Interactions(np.arange(60).astype(str), toy_histories(24), Catalogue.numbered(24))
HISTORIES = Ragged.from_rows([[3, 1, 20], [5], []], np.int32)


@pytest.mark.parametrize("kept", [1, 4, 99])
def test_only_the_largest_weights_of_a_row_count(kept: int) -> None:
    weights = np.random.default_rng(0).normal(size=(24, 24))
    student, teacher = pruned(EASE(weights), kept), weights.copy()
    for row in teacher:
        row[np.argsort(-np.abs(row))[kept:]] = 0
    expected = [sum((teacher[i] for i in history), np.zeros(24)) for history in HISTORIES]
    np.testing.assert_allclose(score(student, HISTORIES), expected, rtol=1e-5, atol=1e-6)
    numbers = 24 * min(kept, 24)
    assert student.size() == (numbers + 1, 4 * (2 * numbers + 24 + 1))  # places, counts of rows and the decay beside


def test_padding_and_an_empty_history_say_nothing() -> None:
    student = fit_sparse(DATA, kept=3)
    torch.testing.assert_close(student(torch.tensor([[24, 24, 5]])), student(torch.tensor([[5]])))
    assert torch.equal(student(torch.tensor([[24]])), torch.zeros(1, 24))


def test_few_weights_recommend_what_all_do() -> None:
    full, few = (score(model, DATA.histories) for model in (fit_ease(DATA, 300.0), fit("sparse", DATA, kept=6)))
    for scores in (full, few):
        scores[DATA.histories.row_index, DATA.histories.values] = -np.inf
    assert (full.argmax(1) == few.argmax(1)).mean() > 0.95


def test_something_must_be_kept() -> None:
    with pytest.raises(UserError, match="32 suits"):
        fit_sparse(DATA, kept=0)
