"""Rankings inside groups of equally popular items, so that a student does not learn the teacher's popularity bias."""

from torch import Tensor
from torch.nn.functional import softplus


def group_pairs_loss(student: Tensor, better: Tensor, worse: Tensor) -> Tensor:
    """Return ``sum_g mean_{(i, j) in g} -log sigmoid(s_i - s_j)`` of pairs inside popularity groups.

    Chen et al., Unbiased knowledge distillation for recommendation, WSDM 2023, equation 8: the teacher ranks item ``i``
    above item ``j``, and both are of one group, so their popularity tells nothing. The caller draws the pairs
    (``fedkd.distillation.popularity_groups``).

    Parameters
    ----------
    student : Tensor, shape [..., items]
        Scores.
    better, worse : Tensor of int64, shape [..., groups, pairs]
        Items; the teacher prefers ``better``.

    Returns
    -------
    Tensor, shape [...]
    """
    margins = student.gather(-1, better.flatten(-2)) - student.gather(-1, worse.flatten(-2))
    return softplus(-margins.reshape(*margins.shape[:-1], *better.shape[-2:])).mean(-1).sum(-1)
