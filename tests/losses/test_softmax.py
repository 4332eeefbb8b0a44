"""Soft labels against a naive loop over rows and items."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedkd.losses.softmax import soft_label_divergence, top_divergence
from tests.losses.naive import numbers, softmax


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), temperature=st.sampled_from([0.5, 1.0, 4.0]), masked=st.booleans())
def test_soft_labels_are_temperature_squared_times_the_divergence(seed: int, temperature: float, masked: bool) -> None:
    student, teacher = numbers(seed, 3, 6), numbers(seed + 1, 3, 6)
    counted = numbers(seed + 2, 3, 6) > -0.5 if masked else torch.ones(3, 6, dtype=torch.bool)
    counted[:, 0] = True
    actual = soft_label_divergence(student, teacher, temperature, counted if masked else None)
    assert actual.shape == (3,)
    for row in range(3):
        items = [i for i in range(6) if counted[row, i]]
        p = softmax([float(teacher[row, i]) for i in items], temperature)
        q = softmax([float(student[row, i]) for i in items], temperature)
        naive = temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        assert float(actual[row]) == pytest.approx(naive, abs=1e-9)


def test_soft_labels_vanish_only_for_equal_opinions_up_to_a_constant() -> None:
    teacher = numbers(0, 2, 5)
    assert float(soft_label_divergence(teacher + 3.0, teacher, 2.0).abs().max()) == pytest.approx(0.0, abs=1e-12)
    assert float(soft_label_divergence(-teacher, teacher, 2.0).min()) > 0.01


def test_gradients_of_soft_labels_keep_their_size_at_high_temperature() -> None:
    teacher = numbers(1, 4, 50)
    sizes = []
    for temperature in (20.0, 200.0):
        student = torch.zeros(4, 50, dtype=torch.float64, requires_grad=True)
        soft_label_divergence(student, teacher, temperature).mean().backward()
        assert student.grad is not None
        sizes.append(float(student.grad.norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_a_masked_item_has_no_gradient() -> None:
    student = torch.zeros(1, 4, requires_grad=True)
    counted = torch.tensor([[True, False, True, True]])
    soft_label_divergence(student, torch.tensor([[1.0, 9.0, 0.0, 2.0]]), 1.0, counted).sum().backward()
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
    assert student.grad[0, 1] == 0
    assert student.grad[0, 0] != 0


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), top=st.sampled_from([1, 3, 6, 50]), masked=st.booleans())
def test_a_list_and_its_rest_are_the_divergence_of_list_and_bucket(seed: int, top: int, masked: bool) -> None:
    student, teacher = numbers(seed, 3, 6), numbers(seed + 1, 3, 6)
    counted = numbers(seed + 2, 3, 6) > -0.5 if masked else torch.ones(3, 6, dtype=torch.bool)
    counted[:, 0] = True
    actual = top_divergence(student, teacher, 2.0, counted if masked else None, top)
    for row in range(3):
        items = [i for i in range(6) if counted[row, i]]
        p = softmax([float(teacher[row, i]) for i in items], 2.0)
        q = softmax([float(student[row, i]) for i in items], 2.0)
        best = sorted(range(len(items)), key=lambda i: -p[i])[:top]
        naive = sum(p[i] * math.log(p[i] / q[i]) for i in best)
        rest, ours = 1 - sum(p[i] for i in best), 1 - sum(q[i] for i in best)
        naive += rest * math.log(rest / ours) if len(items) > top else 0.0
        assert float(actual[row]) == pytest.approx(4.0 * naive, abs=1e-9)
    assert (actual <= soft_label_divergence(student, teacher, 2.0, counted) + 1e-9).all()


def test_a_list_of_the_whole_catalogue_is_the_divergence_of_all_items() -> None:
    student, teacher = numbers(0, 2, 5), numbers(1, 2, 5)
    torch.testing.assert_close(top_divergence(student, teacher, 3.0), soft_label_divergence(student, teacher, 3.0))
