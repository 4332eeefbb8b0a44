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
