import numpy as np
import torch

from fedkd.distillation.closed_forms import Gram, ease_teacher
from fedkd.models.base import padded_histories, score
from fedkd.ragged import Ragged


def make_teacher(items=25):
    rng = np.random.default_rng(0)
    return ease_teacher(Gram(rng.normal(size=(9, items))), 2.0, dense=False)


def test_scores_are_linear_in_the_history_and_padding_is_nothing():
    teacher = make_teacher()
    singles = score(teacher, Ragged.from_rows([[3], [7]], np.int32)).sum(0)
    pair = score(teacher, Ragged.from_rows([[3, 7], [1] * 0], np.int32))
    np.testing.assert_allclose(pair[0], singles, atol=1e-5)
    np.testing.assert_allclose(pair[1], 0, atol=1e-6)


def test_an_item_does_not_recommend_itself():
    weights = score(make_teacher(), Ragged.from_rows(np.arange(25)[:, None], np.int32))
    np.testing.assert_allclose(np.diag(weights), 0, atol=1e-5)


def test_hidden_has_one_feature_a_row_of_the_factor():
    histories = padded_histories(Ragged.from_rows([[3, 7], [1]], np.int32), 25)
    assert make_teacher().hidden(histories).shape == (2, 9)
    assert torch.isfinite(make_teacher().hidden(histories)).all()


def test_nothing_of_size_items_by_items_is_stored():
    assert make_teacher().size()[0] == 25 * (9 + 2)
