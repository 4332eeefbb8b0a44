"""Rankings inside groups against a loop over pairs."""

import math

import pytest
import torch

from fedkd.losses.popularity_groups import group_pairs_loss
from tests.losses.naive import numbers


def test_every_group_counts_the_mean_of_its_pairs() -> None:
    student = numbers(0, 2, 8)
    better = torch.tensor([[[0, 1], [4, 5]], [[3, 3], [6, 7]]])
    worse = torch.tensor([[[2, 3], [6, 6]], [[0, 1], [4, 4]]])
    for row, loss in enumerate(group_pairs_loss(student, better, worse)):
        naive = 0.0
        for group in range(2):
            margins = [
                float(student[row, i] - student[row, j])
                for i, j in zip(better[row, group], worse[row, group], strict=True)
            ]
            naive += sum(-math.log(1 / (1 + math.exp(-m))) for m in margins) / 2
        assert float(loss) == pytest.approx(naive)
