"""Every loss against a naive loop over rows and items."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedkd.losses.functions import (
    LossWeights,
    distillation_loss,
    feature_cross_entropy,
    feature_distribution,
    feature_mse,
    hard_label_loss,
    optimisation_loss,
    pretraining_loss,
    soft_label_loss,
    student_loss,
)


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def softmax(row: list[float], temperature: float) -> list[float]:
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), temperature=st.sampled_from([0.5, 1.0, 4.0]), masked=st.booleans())
def test_soft_labels_are_temperature_squared_times_the_divergence(seed: int, temperature: float, masked: bool) -> None:
    student, teacher = numbers(seed, 3, 6), numbers(seed + 1, 3, 6)
    counted = numbers(seed + 2, 3, 6) > -0.5 if masked else torch.ones(3, 6, dtype=torch.bool)
    counted[:, 0] = True
    total = 0.0
    for row in range(3):
        items = [i for i in range(6) if counted[row, i]]
        p = softmax([float(teacher[row, i]) for i in items], temperature)
        q = softmax([float(student[row, i]) for i in items], temperature)
        total += temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    actual = soft_label_loss(student, teacher, temperature, counted if masked else None)
    assert float(actual) == pytest.approx(total / 3, abs=1e-9)


def test_soft_labels_vanish_only_for_equal_opinions_up_to_a_constant() -> None:
    teacher = numbers(0, 2, 5)
    assert float(soft_label_loss(teacher + 3.0, teacher, 2.0)) == pytest.approx(0.0, abs=1e-12)
    assert float(soft_label_loss(-teacher, teacher, 2.0)) > 0.01


def test_gradients_of_soft_labels_keep_their_size_at_high_temperature() -> None:
    teacher = numbers(1, 4, 50)
    sizes = []
    for temperature in (20.0, 200.0):
        student = torch.zeros(4, 50, dtype=torch.float64, requires_grad=True)
        soft_label_loss(student, teacher, temperature).backward()
        assert student.grad is not None
        sizes.append(float(student.grad.norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_a_masked_item_has_no_gradient() -> None:
    student = torch.zeros(1, 4, requires_grad=True)
    counted = torch.tensor([[True, False, True, True]])
    soft_label_loss(student, torch.tensor([[1.0, 9.0, 0.0, 2.0]]), 1.0, counted).backward()
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
    assert student.grad[0, 1] == 0
    assert student.grad[0, 0] != 0


def test_hard_labels_are_the_mean_log_probability_of_the_targets() -> None:
    scores = numbers(0, 3, 5)
    targets = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.float64)
    total = 0.0
    for row, chosen in enumerate([[0, 3], [2], []]):
        p = softmax(scores[row].tolist(), 1.0)
        total -= sum(math.log(p[item]) for item in chosen) / max(1, len(chosen))
    for loss in (hard_label_loss, pretraining_loss, optimisation_loss):
        assert float(loss(scores, targets)) == pytest.approx(total / 3)


def test_feature_cross_entropy_is_the_sum_over_classes_and_channels() -> None:
    student, teacher = numbers(0, 2, 3, 4), numbers(1, 2, 3, 4)
    total = 0.0
    for row in range(2):
        for i in range(3):
            f, g = ([max(float(v), 0.0) + 1e-6 for v in side[row, i]] for side in (teacher, student))
            total -= sum(a / sum(f) * math.log(b / sum(g)) for a, b in zip(f, g, strict=True))
    assert float(feature_cross_entropy(student, teacher)) == pytest.approx(total / 2)


def test_feature_cross_entropy_is_least_where_the_features_agree() -> None:
    teacher = numbers(1, 2, 3, 4)
    agreed = float(feature_cross_entropy(teacher * 5, teacher))
    f = feature_distribution(teacher)
    assert agreed == pytest.approx(float(-(f * f.log()).sum((-1, -2)).mean()), abs=1e-4)
    assert agreed < float(feature_cross_entropy(numbers(2, 2, 3, 4), teacher))


def test_features_without_a_positive_value_are_uniform() -> None:
    torch.testing.assert_close(feature_distribution(-torch.ones(1, 1, 4)), torch.full((1, 1, 4), 0.25))


def test_feature_mse_is_the_mean_square() -> None:
    student, teacher = numbers(0, 2, 1, 3), numbers(1, 2, 1, 3)
    expected = np.mean([(float(a) - float(b)) ** 2 for a, b in zip(student.flatten(), teacher.flatten(), strict=True)])
    assert float(feature_mse(student, teacher)) == pytest.approx(expected)


def test_the_objective_is_the_weighted_sum() -> None:
    weights = LossWeights(soft=2.0, feature=3.0, hard=0.5)
    soft, feature, hard = (torch.tensor(value) for value in (1.0, 10.0, 100.0))
    assert float(distillation_loss(soft, None, weights)) == 2.0
    assert float(student_loss(distillation_loss(soft, feature, weights), hard, weights)) == 2.0 + 30.0 + 50.0
