"""Soft labels: the student's opinion of the whole catalogue against the teacher's, and the table of such losses."""

from collections.abc import Callable, Mapping

from torch import Tensor

from fedkd.losses.lists import corrected_ranking_likelihood, ranking_likelihood
from fedkd.losses.names import named_loss
from fedkd.losses.softmax import soft_label_divergence, top_divergence

SoftLabelLoss = Callable[[Tensor, Tensor, float, Tensor | None, int], Tensor]
"""A comparison of scores, one value per example, shape [...].

Its arguments are the scores of student and teacher, shape [..., items] each, the temperature, a mark for the items that
are compared, of the same shape, or None for all, and the length of the teacher's list. Losses of ranks have no use for
a temperature, losses of the whole catalogue none for a list.
"""

SOFT_LABEL_LOSSES: Mapping[str, SoftLabelLoss] = {
    "kl": soft_label_divergence,
    "top-k": top_divergence,
    "rrd": ranking_likelihood,
    "dcd": corrected_ranking_likelihood,
}
"""The soft-label losses that a configuration names."""


def soft_label_loss(name: str) -> SoftLabelLoss:
    """Return the soft-label loss of a name, or of a path such as ``package.module:function``.

    Raises
    ------
    UserError
        There is no such name, module or function.
    """
    return named_loss("soft-label loss", name, SOFT_LABEL_LOSSES)
