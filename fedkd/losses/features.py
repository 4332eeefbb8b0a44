"""Feature losses: the student's features of a layer against the teacher's, and the table of their names."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from fedkd.losses.attention import attention_difference
from fedkd.losses.names import named_loss
from fedkd.losses.relations import angle_relations, distance_relations

SMALLEST = 1e-6
"""Added to features before they are normalised, so that a row of zeros is the uniform distribution."""

FeatureLoss = Callable[[Tensor, Tensor], Tensor]
"""Features of student and teacher, shape [..., classes, features] each -> one value per example, shape [...]."""


def feature_distribution(features: Tensor) -> Tensor:
    """Return features, rectified, as distributions over the last axis: ``(f_k + 1e-6) / sum_k (f_k + 1e-6)``."""
    positive = torch.relu(features) + SMALLEST
    return positive / positive.sum(-1, keepdim=True)


def feature_cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the cross entropy of features, ``sum_i -sum_k f_ik log g_ik``.

    ``f`` and ``g`` are the teacher's and the student's features of the chosen layer, rectified and normalised over
    ``k`` by `feature_distribution`; the classes ``i`` are summed.

    Parameters
    ----------
    student, teacher : Tensor, shape [..., classes, features]
        A layer without classes has one.

    Returns
    -------
    Tensor, shape [...]
    """
    f, g = feature_distribution(teacher), feature_distribution(student)
    return -(f * torch.log(g)).sum((-1, -2))


def feature_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of features ``mean_ik (s_ik - t_ik)^2`` (Romero et al., FitNets, ICLR 2015).

    Parameters
    ----------
    student, teacher : Tensor, shape [..., classes, features]

    Returns
    -------
    Tensor, shape [...]
    """
    return (student - teacher).square().mean((-1, -2))


FEATURE_LOSSES: Mapping[str, FeatureLoss] = {
    "cross-entropy": feature_cross_entropy,
    "mse": feature_mse,
    "attention": attention_difference,
    "distances": distance_relations,
    "angles": angle_relations,
}
"""The feature losses that a configuration names."""

OF_ANY_WIDTH: frozenset[FeatureLoss] = frozenset({attention_difference, distance_relations, angle_relations})
"""Losses that compare the features of layers of different widths; for others an adapter learns to translate."""


def feature_loss(name: str) -> FeatureLoss:
    """Return the feature loss of a name, or of a path such as ``package.module:function``.

    Raises
    ------
    UserError
        There is no such name, module or function.
    """
    return named_loss("feature loss", name, FEATURE_LOSSES)
