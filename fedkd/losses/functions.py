"""The losses of distillation, each a function of its own; rows are averaged, so that batches of any size compare.

``L_pre`` trains the teacher on hard labels, ``L_dist`` the student on the teacher's soft labels and features, ``L_opt``
the student on hard labels; training minimises their weighted sum.
"""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from fedkd.options import Options

OUT_OF_REACH = -1e9
"""Score of an item that a softmax leaves out: its probability is 0, and no NaN arises from 0 times infinity."""

SMALLEST = 1e-6
"""Added to features before they are normalised, so that a row of zeros is the uniform distribution."""


def hard_label_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the multinomial cross entropy of hard labels, ``-sum_i y_i log softmax(s)_i / sum_i y_i``.

    Parameters
    ----------
    scores : Tensor, shape [batch, items]
    targets : Tensor, shape [batch, items]
        1 at the items that the user chose, or any non-negative weights. Rows without a target count as 0.
    """
    total = targets.sum(-1).clamp(min=torch.finfo(targets.dtype).tiny)
    return -((targets * torch.log_softmax(scores, -1)).sum(-1) / total).mean()


def soft_label_loss(student: Tensor, teacher: Tensor, temperature: float, counted: Tensor | None = None) -> Tensor:
    """Return Hinton's soft-label loss, ``T^2 KL(softmax(t / T) || softmax(s / T))``.

    The factor ``T^2`` keeps gradients of one size whatever the temperature (Hinton et al., 2015, section 2); it stands
    here and nowhere else.

    Parameters
    ----------
    student, teacher : Tensor, shape [batch, items]
        Scores.
    temperature : float
        High ones flatten the teacher's opinion; EASE, whose scores lie between 0 and 1, wants about 0.05.
    counted : Tensor of bool, shape [batch, items], optional
        The items that are compared; all of them by default.
    """
    if counted is not None:
        student, teacher = (scores.masked_fill(~counted, OUT_OF_REACH) for scores in (student, teacher))
    ours, theirs = (torch.log_softmax(scores / temperature, -1) for scores in (student, teacher))
    return temperature**2 * functional.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1).mean()


def feature_distribution(features: Tensor) -> Tensor:
    """Return features, rectified, as distributions over the last axis: ``(f_k + 1e-6) / sum_k (f_k + 1e-6)``."""
    positive = torch.relu(features) + SMALLEST
    return positive / positive.sum(-1, keepdim=True)


def feature_cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the cross entropy of features, ``sum_i -sum_k f_ik log g_ik``, averaged over the batch.

    ``f`` and ``g`` are the teacher's and the student's features of the chosen layer, rectified and normalised over
    ``k`` by `feature_distribution`; the classes ``i`` are summed.

    Parameters
    ----------
    student, teacher : Tensor, shape [batch, classes, features]
        A layer without classes has one.
    """
    f, g = feature_distribution(teacher), feature_distribution(student)
    return -(f * torch.log(g)).sum((-1, -2)).mean()


def feature_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of features, both of shape [batch, classes, features]."""
    return (student - teacher).square().mean()


def pretraining_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return ``L_pre``, the teacher on hard labels; arguments as in `hard_label_loss`."""
    return hard_label_loss(scores, targets)


def distillation_loss(soft: Tensor, feature: Tensor | None, weights: "LossWeights") -> Tensor:
    """Return ``L_dist``, the student on the teacher's soft labels and, where there are some, features."""
    return weights.soft * soft if feature is None else weights.soft * soft + weights.feature * feature


def optimisation_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return ``L_opt``, the student on hard labels; arguments as in `hard_label_loss`."""
    return hard_label_loss(scores, targets)


def student_loss(distillation: Tensor, optimisation: Tensor, weights: "LossWeights") -> Tensor:
    """Return what the student minimises, ``L_dist + hard * L_opt``; ``L_pre`` concerns the teacher alone."""
    return distillation + weights.hard * optimisation


class LossWeights(Options):
    """Weights of the student's losses: ``soft * KL + feature * features + hard * cross entropy``.

    Attributes
    ----------
    soft : float
        Weight of the soft labels in ``L_dist``.
    feature : float
        Weight of the features in ``L_dist``; 0 leaves them out.
    hard : float
        Weight of ``L_opt`` beside ``L_dist``; 0 leaves it to a phase of its own.
    """

    soft: float = Field(1.0, ge=0)
    feature: float = Field(0.0, ge=0)
    hard: float = Field(0.0, ge=0)
