"""Relations between examples: the student's features may have any width, for relations are compared, not features.

Park et al., Relational knowledge distillation, CVPR 2019. A value belongs to one example, but depends on all of the
batch; so these losses do for training in one place, and neither for batches that are padded nor for DP-SGD, where one
example must not change another's loss.
"""

import torch
from torch import Tensor

SMALLEST = 1e-12
"""Least square of a distance, so that equal examples have a gradient of 0 and not NaN."""


def distance_relations(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the difference of distances ``mean_{j != i} huber(|t_i - t_j| / m_t, |s_i - s_j| / m_s)``.

    ``m`` is the mean distance of the batch, so that features of any scale are compared (equations 4 - 6 of the paper;
    Huber's loss bends at 1).

    Parameters
    ----------
    student, teacher : Tensor, shape [examples, classes, features]
        At least two examples; classes and features make one vector.

    Returns
    -------
    Tensor, shape [examples]
    """
    ours, theirs = (_relative_distances(features) for features in (student, teacher))
    return _huber(ours - theirs).sum(-1) / (len(student) - 1)


def angle_relations(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the difference of angles ``mean_{i, k} huber(cos(t_i, t_j, t_k), cos(s_i, s_j, s_k))`` at example ``j``.

    Equations 7 - 9 of the paper; pairs ``i, k`` are all others of the batch, different from each other. It takes
    examples^3 numbers, some hundred megabytes for 256 examples, so batches should be small.

    Parameters
    ----------
    student, teacher : Tensor, shape [examples, classes, features]
        At least three examples.

    Returns
    -------
    Tensor, shape [examples]
    """
    count, apart = len(student), ~torch.eye(len(student), dtype=torch.bool, device=student.device)
    proper = apart.unsqueeze(0) & apart.unsqueeze(1) & apart.unsqueeze(2)
    ours, theirs = (_cosines(features) for features in (student, teacher))
    each = _huber(ours - theirs) * proper
    return each.sum((-1, -2)) / ((count - 1) * (count - 2))


def _huber(difference: Tensor) -> Tensor:
    """Return Huber's loss: half the square up to 1, linear beyond."""
    size = difference.abs()
    bent = size.clamp(max=1.0)
    return bent * (size - bent / 2)


def _distances(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return scalar products of all examples less the batch's mean, and distances, shape [examples, examples]."""
    vectors = features.flatten(1) - features.flatten(1).mean(0)
    products = vectors @ vectors.T
    squares = products.diagonal()
    return products, (squares.unsqueeze(0) + squares.unsqueeze(1) - 2 * products).clamp(min=SMALLEST).sqrt()


def _relative_distances(features: Tensor) -> Tensor:
    """Return distances over their mean, 0 from an example to itself."""
    apart = ~torch.eye(len(features), dtype=torch.bool, device=features.device)
    distances = _distances(features)[1] * apart
    return distances * (apart.sum() / distances.sum())


def _cosines(features: Tensor) -> Tensor:
    """Return the cosine at example ``j`` of the directions to ``i`` and ``k``, shape [j, i, k]."""
    products, distances = _distances(features)
    at = products.diagonal().view(-1, 1, 1)
    inner = products.unsqueeze(0) - products.unsqueeze(2) - products.unsqueeze(1) + at
    return inner / (distances.unsqueeze(2) * distances.unsqueeze(1))
