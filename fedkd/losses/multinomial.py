"""Multinomial cross entropy: hard labels against a softmax over the whole catalogue."""

import torch
from torch import Tensor


def multinomial_cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Return ``-sum_i y_i log softmax(s)_i / sum_i y_i``, the mean log loss of the chosen items.

    The multinomial likelihood of Liang et al., Variational autoencoders for collaborative filtering, WWW 2018, over the
    number of chosen items.

    Parameters
    ----------
    scores : Tensor, shape [..., items]
    targets : Tensor, shape [..., items]
        1 at the items that the user chose, or any non-negative weights. Rows without a target count as 0.

    Returns
    -------
    Tensor, shape [...]
    """
    total = targets.sum(-1)
    total = torch.where(total > 0, total, 1.0)  # a row without targets is 0 over 1
    return -(targets * torch.log_softmax(scores, -1)).sum(-1) / total


def item_cross_entropy(scores: Tensor, item: Tensor) -> Tensor:
    """Return ``-log softmax(s)_i``, the log loss of one chosen item, such as the next one of a history.

    Parameters
    ----------
    scores : Tensor, shape [..., items]
    item : Tensor of int64, shape [...]

    Returns
    -------
    Tensor, shape [...]
    """
    return scores.logsumexp(-1) - scores.gather(-1, item.unsqueeze(-1)).squeeze(-1)
