"""The objectives of the phases, and every loss under vmap."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from fedkd.losses.attention import attention_difference
from fedkd.losses.binary import binary_cross_entropy, generalised_binary_cross_entropy
from fedkd.losses.features import feature_cross_entropy, feature_mse
from fedkd.losses.multinomial import multinomial_cross_entropy
from fedkd.losses.objectives import (
    LossWeights,
    distillation_loss,
    optimisation_loss,
    pretraining_loss,
    scheduled,
    student_loss,
)
from fedkd.losses.popularity_groups import group_pairs_loss
from fedkd.losses.relations import angle_relations, distance_relations
from fedkd.losses.scores import mean_absolute_difference
from fedkd.losses.soft_labels import SOFT_LABEL_LOSSES
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


def test_weights_move_in_a_straight_line() -> None:
    first, last = LossWeights(soft=1.0, feature=2.0), LossWeights(soft=0.0, feature=2.0, hard=4.0)
    steps = list(scheduled(first, last, 5))
    assert steps[0] == first
    assert steps[2] == LossWeights(soft=0.5, feature=2.0, hard=2.0)
    assert steps[4] == last
    assert list(scheduled(first, last, 1)) == [first]


def soft_labels(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda student, teacher: SOFT_LABEL_LOSSES[name](student, teacher, 2.0, student > -0.5, 3)


def pairs(student: Tensor, teacher: Tensor) -> Tensor:
    better = (teacher > 0.5).long().unsqueeze(-2)
    return group_pairs_loss(student, better, 3 - better)


def sampled(student: Tensor, teacher: Tensor) -> Tensor:
    return generalised_binary_cross_entropy(student[..., 0], teacher, 100)


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        (multinomial_cross_entropy, (6,)),
        *((soft_labels(name), (6,)) for name in SOFT_LABEL_LOSSES),
        (pairs, (6,)),
        (sampled, (6,)),
        (attention_difference, (3, 6)),
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


@pytest.mark.parametrize("loss", [distance_relations, angle_relations])
def test_relations_of_many_students_at_once_are_those_of_each_batch_alone(
    loss: Callable[[Tensor, Tensor], Tensor],
) -> None:
    student, teacher = numbers(0, 4, 5, 1, 3), numbers(1, 4, 5, 1, 3)
    together = vmap(loss)(student, teacher)
    assert together.shape == (4, 5)
    for row in range(4):
        torch.testing.assert_close(together[row], loss(student[row], teacher[row]))
