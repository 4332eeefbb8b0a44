"""Soft labels: the student's softmax against the teacher's, both at a temperature."""

import torch
from torch import Tensor

MASKED = -1e9
"""Score of an item that a softmax leaves out: its probability is 0, and no NaN arises from 0 times infinity."""


def soft_label_divergence(
    student: Tensor, teacher: Tensor, temperature: float, counted: Tensor | None = None
) -> Tensor:
    """Return ``T^2 KL(softmax(t / T) || softmax(s / T))``, the soft-label loss of Hinton et al.

    The factor ``T^2`` keeps gradients of one size whatever the temperature (Hinton, Vinyals & Dean, Distilling the
    knowledge in a neural network, 2015, section 2); it stands here and nowhere else.

    Parameters
    ----------
    student, teacher : Tensor, shape [..., items]
        Scores.
    temperature : float
        High ones flatten the teacher's distribution; EASE, whose scores lie between 0 and 1, wants about 0.05.
    counted : Tensor of bool, shape [..., items], optional
        The items that are compared; all of them by default.

    Returns
    -------
    Tensor, shape [...]
    """
    if counted is not None:
        student, teacher = (scores.masked_fill(~counted, MASKED) for scores in (student, teacher))
    ours, theirs = (torch.log_softmax(scores / temperature, -1) for scores in (student, teacher))
    return temperature**2 * (theirs.exp() * (theirs - ours)).sum(-1)
