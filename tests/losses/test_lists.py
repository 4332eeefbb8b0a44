"""Likelihoods of rankings against loops over the places of a list."""

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedkd.losses.lists import corrected_ranking_likelihood, ranking_likelihood
from tests.losses.naive import numbers


def likelihood(scores: Sequence[float], ordered: Sequence[int], others: Sequence[int]) -> float:
    """Return the negative log likelihood that the ordered items are drawn one by one before all others."""
    total = 0.0
    for place, item in enumerate(ordered):
        left = [*ordered[place:], *others]
        total -= math.log(math.exp(scores[item]) / sum(math.exp(scores[i]) for i in left))
    return total


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), top=st.sampled_from([1, 3, 9]), masked=st.booleans())
def test_a_ranking_is_drawn_item_by_item(seed: int, top: int, masked: bool) -> None:
    student, teacher = numbers(seed, 3, 7), numbers(seed + 1, 3, 7)
    counted = numbers(seed + 2, 3, 7) > -0.5 if masked else torch.ones(3, 7, dtype=torch.bool)
    counted[:, 0] = True
    actual = ranking_likelihood(student, teacher, 1.0, counted if masked else None, top)
    for row in range(3):
        items = sorted((i for i in range(7) if counted[row, i]), key=lambda i: -float(teacher[row, i]))
        naive = likelihood(student[row].tolist(), items[:top], items[top:])
        assert float(actual[row]) == pytest.approx(naive, abs=1e-9)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), top=st.sampled_from([1, 2, 9]))
def test_corrections_draw_what_stands_too_low_before_what_stands_too_high(seed: int, top: int) -> None:
    student, teacher = numbers(seed, 3, 7), numbers(seed + 1, 3, 7)
    for row, actual in enumerate(corrected_ranking_likelihood(student, teacher, top=top)):
        ours, theirs = student[row].tolist(), teacher[row].tolist()
        low = [sum(x > ours[i] for x in ours) - sum(x > theirs[i] for x in theirs) for i in range(7)]
        under = [i for i in sorted(range(7), key=lambda i: -low[i])[:top] if low[i] > 0]
        over = [i for i in sorted(range(7), key=lambda i: low[i])[:top] if low[i] < 0]
        moved = [value for value in low if value]
        if len(set(moved)) < len(moved):
            continue  # which of equal differences is taken is open
        naive = likelihood(ours, sorted(under, key=lambda i: -theirs[i]), over)
        assert float(actual) == pytest.approx(naive, abs=1e-9)


def test_equal_rankings_need_no_correction() -> None:
    teacher = numbers(0, 2, 6)
    student = (3 * teacher).requires_grad_()
    loss = corrected_ranking_likelihood(student, teacher)
    assert loss.tolist() == [0, 0]
    assert torch.equal(torch.autograd.grad(loss.sum(), student)[0], torch.zeros_like(student))
