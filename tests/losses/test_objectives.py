"""The objectives of the phases, and every loss under vmap."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from fedkd.losses.binary import binary_cross_entropy
from fedkd.losses.features import feature_cross_entropy, feature_mse
from fedkd.losses.multinomial import multinomial_cross_entropy
from fedkd.losses.objectives import LossWeights, distillation_loss, optimisation_loss, pretraining_loss, student_loss
from fedkd.losses.scores import mean_absolute_difference
from fedkd.losses.soft_labels import soft_label_divergence
from tests.losses.naive import numbers


def test_the_objective_is_the_weighted_sum() -> None:
    weights = LossWeights(soft=2.0, feature=3.0, hard=0.5)
    soft, feature, hard = (torch.tensor(value) for value in (1.0, 10.0, 100.0))
    assert float(distillation_loss(soft, None, weights)) == 2.0
    assert float(student_loss(distillation_loss(soft, feature, weights), hard, weights)) == 2.0 + 30.0 + 50.0


@pytest.mark.parametrize("phase", [pretraining_loss, optimisation_loss])
def test_both_phases_on_hard_labels_minimise_the_multinomial_cross_entropy(phase: Callable[..., Tensor]) -> None:
    scores, targets = numbers(0, 3, 5), numbers(1, 3, 5).abs()
    assert torch.equal(phase(scores, targets), multinomial_cross_entropy(scores, targets))


def soft_labels(student: Tensor, teacher: Tensor) -> Tensor:
    return soft_label_divergence(student, teacher, 2.0, student > -0.5)


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        (multinomial_cross_entropy, (6,)),
        (soft_labels, (6,)),
        (feature_cross_entropy, (2, 6)),
        (feature_mse, (2, 6)),
        (mean_absolute_difference, (6,)),
        (binary_cross_entropy, ()),
    ],
)
def test_losses_of_many_students_at_once_are_those_of_each_alone(
    loss: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...]
) -> None:
    scores, targets = numbers(0, 4, 3, *shape), numbers(1, 4, 3, *shape).abs()
    together = vmap(loss)(scores, targets)
    assert together.shape == (4, 3)
    for student in range(4):
        for example in range(3):
            torch.testing.assert_close(
                together[student, example], loss(scores[student, example], targets[student, example])
            )
