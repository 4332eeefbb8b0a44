"""Feature losses against a naive loop over rows, classes and channels."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fedkd.distillation.options import DistillationOptions
from fedkd.errors import UserError
from fedkd.losses.features import (
    FEATURE_LOSSES,
    feature_cross_entropy,
    feature_distribution,
    feature_loss,
    feature_mse,
)
from tests.losses.naive import numbers


def test_feature_cross_entropy_is_the_sum_over_classes_and_channels() -> None:
    student, teacher = numbers(0, 2, 3, 4), numbers(1, 2, 3, 4)
    for row, loss in enumerate(feature_cross_entropy(student, teacher)):
        naive = 0.0
        for i in range(3):
            f, g = ([max(float(v), 0.0) + 1e-6 for v in side[row, i]] for side in (teacher, student))
            naive -= sum(a / sum(f) * math.log(b / sum(g)) for a, b in zip(f, g, strict=True))
        assert float(loss) == pytest.approx(naive)


def test_feature_cross_entropy_is_least_where_the_features_agree() -> None:
    teacher = numbers(1, 2, 3, 4)
    agreed = feature_cross_entropy(teacher * 5, teacher)
    f = feature_distribution(teacher)
    torch.testing.assert_close(agreed, -(f * f.log()).sum((-1, -2)), atol=1e-4, rtol=0)
    assert (agreed < feature_cross_entropy(numbers(2, 2, 3, 4), teacher)).all()


def test_features_without_a_positive_value_are_uniform() -> None:
    torch.testing.assert_close(feature_distribution(-torch.ones(1, 1, 4)), torch.full((1, 1, 4), 0.25))


def test_feature_mse_is_the_mean_square() -> None:
    student, teacher = numbers(0, 2, 2, 3), numbers(1, 2, 2, 3)
    for row, loss in enumerate(feature_mse(student, teacher)):
        pairs = zip(student[row].flatten(), teacher[row].flatten(), strict=True)
        assert float(loss) == pytest.approx(np.mean([(float(a) - float(b)) ** 2 for a, b in pairs]))


def test_a_configuration_names_every_feature_loss() -> None:
    assert {name: feature_loss(name) for name in FEATURE_LOSSES} == dict(FEATURE_LOSSES)


def largest(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the largest difference of a feature; a loss of a user's own."""
    return (student - teacher).abs().amax((-1, -2))


OWN = f"{__name__}:largest"


def test_a_configuration_names_a_loss_of_ones_own() -> None:
    options = DistillationOptions.model_validate({"feature-loss": OWN})
    student, teacher = numbers(0, 2, 2, 3), numbers(1, 2, 2, 3)
    assert torch.equal(feature_loss(options.feature_loss)(student, teacher), largest(student, teacher))


@pytest.mark.parametrize(
    ("name", "said"),
    [("mean", "allowed are cross-entropy, mse"), ("no_such:loss", "cannot be imported"), (OWN + "est", "no function")],
)
def test_a_loss_that_does_not_exist_is_refused_when_the_configuration_is_read(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        feature_loss(name)
    with pytest.raises(ValueError, match=said):
        DistillationOptions(feature_loss=name)
