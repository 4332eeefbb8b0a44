"""Multinomial cross entropy against a loop, and bit for bit against the forms in which its callers had it."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedkd.losses.multinomial import item_cross_entropy, multinomial_cross_entropy
from tests.losses.naive import numbers, softmax


def test_every_row_is_the_mean_log_probability_of_its_targets() -> None:
    scores = numbers(0, 3, 5)
    targets = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.float64)
    for row, chosen in enumerate([[0, 3], [2], []]):
        p = softmax(scores[row].tolist(), 1.0)
        expected = -sum(math.log(p[item]) for item in chosen) / max(1, len(chosen))
        assert float(multinomial_cross_entropy(scores, targets)[row]) == pytest.approx(expected)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99))
def test_targets_may_have_any_weights(seed: int) -> None:
    scores, targets = numbers(seed, 4, 6), numbers(seed + 1, 4, 6).abs()
    for row, loss in enumerate(multinomial_cross_entropy(scores, targets)):
        p = softmax(scores[row].tolist(), 1.0)
        weights = targets[row].tolist()
        naive = -sum(y * math.log(q) for y, q in zip(weights, p, strict=True)) / sum(weights)
        assert float(loss) == pytest.approx(naive)


def negated_mean(scores: Tensor, targets: Tensor) -> Tensor:
    """The phases of distillation: rows may be empty, targets may be shares."""
    total = targets.sum(-1).clamp(min=torch.finfo(targets.dtype).tiny)
    return -((targets * torch.log_softmax(scores, -1)).sum(-1) / total).mean()


def clamped_at_one(scores: Tensor, targets: Tensor) -> Tensor:
    """The cohort engine: histories may be empty."""
    each = -(targets * torch.log_softmax(scores, -1)).sum(-1) / targets.sum(-1).clamp(min=1.0)
    return each.mean()


def not_clamped(scores: Tensor, targets: Tensor) -> Tensor:
    """Central training: no history is empty."""
    return (-(targets * torch.log_softmax(scores, -1)).sum(-1) / targets.sum(-1)).mean()


def with_gradient(loss: Callable[[Tensor, Tensor], Tensor], scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    leaf = scores.clone().requires_grad_()
    value = loss(leaf, targets)
    return value.detach(), torch.autograd.grad(value, leaf)[0]


CASES = [
    (negated_mean, "histories"),
    (negated_mean, "empty ones too"),
    (negated_mean, "shares"),
    (clamped_at_one, "histories"),
    (clamped_at_one, "empty ones too"),
    (not_clamped, "histories"),
]


@pytest.mark.parametrize(("form", "kind"), CASES)
@pytest.mark.parametrize(("rows", "items"), [(1, 7), (13, 50), (64, 1682)])
def test_one_formula_gives_every_callers_numbers_to_the_last_bit(
    form: Callable[[Tensor, Tensor], Tensor], kind: str, rows: int, items: int
) -> None:
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.normal(0, 3, (rows, items)).astype(np.float32))
    targets = torch.from_numpy((rng.random((rows, items)) < 0.2).astype(np.float32))
    targets[:, 0] = 1
    if kind == "empty ones too":
        targets[::3] = 0
    if kind == "shares":  # rows that sum to 1, up to rounding
        targets /= targets.sum(-1, keepdim=True)
    old = with_gradient(form, scores, targets)
    new = with_gradient(lambda s, t: multinomial_cross_entropy(s, t).mean(), scores, targets)
    assert all(torch.equal(a, b) for a, b in zip(old, new, strict=True))


def test_a_row_without_targets_has_no_gradient_whatever_it_is_multiplied_by() -> None:
    scores = torch.randn(2, 5, requires_grad=True)
    targets = torch.tensor([[0.0] * 5, [1.0, 0, 0, 0, 0]])
    (1e20 * multinomial_cross_entropy(scores, targets).sum()).backward()
    assert scores.grad is not None
    assert torch.equal(scores.grad[0], torch.zeros(5))
    assert scores.grad[1].abs().sum() > 0


def test_one_item_has_the_loss_of_a_target_of_one_item() -> None:
    scores, item = numbers(0, 3, 5), torch.tensor([4, 0, 2])
    targets = torch.nn.functional.one_hot(item, 5).to(scores.dtype)
    torch.testing.assert_close(item_cross_entropy(scores, item), multinomial_cross_entropy(scores, targets))
