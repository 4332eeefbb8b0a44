"""Attention to positions against a loop."""

import math

import pytest
import torch

from fedkd.errors import UserError
from fedkd.losses.attention import attention_difference
from tests.losses.naive import numbers


def test_maps_of_any_width_are_compared_position_by_position() -> None:
    student, teacher = numbers(0, 3, 4, 2), numbers(1, 3, 4, 5)
    for row, loss in enumerate(attention_difference(student, teacher)):
        maps = []
        for side in (student[row], teacher[row]):
            energy = [sum(float(v) ** 2 for v in position) for position in side]
            maps.append([e / math.sqrt(sum(x * x for x in energy)) for e in energy])
        assert float(loss) == pytest.approx(sum((a - b) ** 2 for a, b in zip(*maps, strict=True)))


def test_a_history_without_items_has_no_gradient() -> None:
    student = torch.zeros(1, 3, 2, requires_grad=True)
    attention_difference(student, torch.ones(1, 3, 2)).sum().backward()
    assert student.grad is not None
    assert torch.equal(student.grad, torch.zeros(1, 3, 2))


def test_one_position_has_no_attention() -> None:
    with pytest.raises(UserError, match="positions = true"):
        attention_difference(torch.ones(2, 1, 3), torch.ones(2, 1, 3))
