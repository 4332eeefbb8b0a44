"""Differences of scores against a loop; all pairs at once, as FedMD's server takes them, to the last bit."""

import numpy as np
import pytest
import torch

from fedkd.losses.scores import mean_absolute_difference
from tests.losses.naive import numbers


def test_every_row_is_the_mean_absolute_difference() -> None:
    student, teacher = numbers(0, 3, 5), numbers(1, 3, 5)
    for row, loss in enumerate(mean_absolute_difference(student, teacher)):
        assert float(loss) == pytest.approx(sum(abs(float(student[row, i] - teacher[row, i])) for i in range(5)) / 5)


@pytest.mark.parametrize(("rows", "items"), [(5, 12), (6, 80), (31, 1682)])
def test_flat_scores_give_the_mean_of_all_pairs_to_the_last_bit(rows: int, items: int) -> None:
    rng = np.random.default_rng(0)
    scores, wanted = (torch.from_numpy(rng.normal(size=(rows, items)).astype(np.float32)) for _ in range(2))
    panel = torch.from_numpy(rng.permutation(items)[: items // 2 + 1])
    results = []
    for flat in (False, True):
        leaf = scores.clone().requires_grad_()
        ours, theirs = leaf[:, panel], wanted[:, panel]
        loss = mean_absolute_difference(ours.flatten(), theirs.flatten()) if flat else (ours - theirs).abs().mean()
        results.append((loss.detach(), torch.autograd.grad(loss, leaf)[0]))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
