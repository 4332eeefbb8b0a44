"""Differences of scores as they are, without a softmax."""

from torch import Tensor


def mean_absolute_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ``mean_i |s_i - t_i|``, by which clients digest the consensus in FedMD (Li & Wang, 2019).

    Parameters
    ----------
    student, teacher : Tensor, shape [..., items]
        Scores.

    Returns
    -------
    Tensor, shape [...]
    """
    return (student - teacher).abs().mean(-1)
