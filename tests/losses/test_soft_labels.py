"""The table of soft-label losses: all have names, and a configuration refuses others when it is read."""

import pytest
import torch
from torch import Tensor

from fedkd.distillation.options import DistillationOptions
from fedkd.errors import UserError
from fedkd.losses.soft_labels import SOFT_LABEL_LOSSES, soft_label_loss
from tests.losses.naive import numbers


@pytest.mark.parametrize("name", SOFT_LABEL_LOSSES)
def test_every_loss_teaches_a_student_the_best_items_of_its_teacher(name: str) -> None:
    teacher, student = numbers(0, 3, 12), torch.zeros(3, 12, dtype=torch.float64, requires_grad=True)
    counted = torch.arange(12).expand(3, 12) > 1
    adam = torch.optim.Adam([student], lr=0.1)
    for _ in range(200):
        adam.zero_grad()
        soft_label_loss(name)(student, teacher, 1.0, counted, 4).sum().backward()
        adam.step()
    ours, theirs = (scores.masked_fill(~counted, -1e9).argmax(-1) for scores in (student, teacher))
    assert ours.tolist() == theirs.tolist()
    assert torch.equal(student.detach()[:, :2], torch.zeros(3, 2, dtype=torch.float64))


def squares(student: Tensor, teacher: Tensor, temperature: float, counted: Tensor | None, top: int) -> Tensor:
    """Return the mean square difference of scores; a loss of a user's own."""
    del temperature, counted, top
    return (student - teacher).square().mean(-1)


def test_a_configuration_names_a_loss_of_ones_own() -> None:
    options = DistillationOptions.model_validate({"soft-label-loss": f"{__name__}:squares"})
    assert soft_label_loss(options.soft_label_loss) is squares


@pytest.mark.parametrize(
    ("name", "said"), [("topk", r"did you mean top-k; allowed are kl, top-k"), ("no_such:loss", "cannot be imported")]
)
def test_a_loss_that_does_not_exist_is_refused_when_the_configuration_is_read(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        soft_label_loss(name)
    with pytest.raises(ValueError, match=said):
        DistillationOptions(soft_label_loss=name)
