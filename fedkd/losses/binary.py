"""Binary cross entropy of single pairs of user and item."""

from torch import Tensor
from torch.nn import functional


def binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``log(1 + exp(z)) - y z``, the cross entropy of ``sigmoid(z)`` (He et al., NCF, WWW 2017, equation 7).

    Parameters
    ----------
    logits : Tensor, shape [...]
    labels : Tensor, shape [...]
        Hard labels, 0 or 1, or soft ones between.

    Returns
    -------
    Tensor, shape [...]
    """
    return functional.softplus(logits) - labels * logits


def generalised_binary_cross_entropy(
    positive: Tensor, negatives: Tensor, num_items: int, calibration: float = 0.75
) -> Tensor:
    """Return gBCE, the binary cross entropy of sampled negatives that does not make a model overconfident.

    ``-(b log sigmoid(s_+) + sum_j log(1 - sigmoid(s_j))) / (k + 1)`` with ``b = a (t (1 - 1/a) + 1/a)`` and the
    sampling rate ``a = k / (items - 1)`` (Petrov & Macdonald, gSASRec, RecSys 2023). ``t = 0`` is the plain binary
    cross entropy; with ``t = 1`` the sigmoid estimates what a softmax over the catalogue would.

    Parameters
    ----------
    positive : Tensor, shape [...]
        Logit of the item that was chosen.
    negatives : Tensor, shape [..., k]
        Logits of ``k`` sampled items that were not.
    num_items : int
        Size of the catalogue that the negatives come from.
    calibration : float
        The parameter ``t``, between 0 and 1; 0.75 is the paper's choice.

    Returns
    -------
    Tensor, shape [...]
    """
    count = negatives.shape[-1]
    rate = count / (num_items - 1)
    power = calibration * (rate - 1) + 1
    return (power * functional.softplus(-positive) + functional.softplus(negatives).sum(-1)) / (count + 1)
