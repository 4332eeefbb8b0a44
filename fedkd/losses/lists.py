"""Likelihoods of the teacher's ranking under the student's scores."""

import torch
from torch import Tensor

from fedkd.losses.softmax import MASKED, masked


def ranking_likelihood(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, counted: Tensor | None = None, top: int = 100
) -> Tensor:
    """Return the negative log likelihood of the teacher's list, the relaxed ranking distillation of Kang et al.

    ``-sum_{k <= K} log(exp s_k / (sum_{i = k..K} exp s_i + sum_{j in L} exp s_j))``: the ``K = top`` best items of the
    teacher, in its order, are drawn one after the other before any other item ``j``, whose order does not matter
    (DE-RRD: A knowledge distillation framework for recommender system, CIKM 2020, equation 9). The paper draws few
    uninteresting items ``L``; here they are all that count, and a caller who wants fewer leaves them out of
    ``counted``.

    Parameters
    ----------
    student, teacher : Tensor, shape [..., items]
        Scores.
    temperature : float
        Of no meaning here: only the teacher's ranks count.
    counted : Tensor of bool, shape [..., items], optional
        The items that are compared; all of them by default.
    top : int
        Length of the teacher's list.

    Returns
    -------
    Tensor, shape [...]
    """
    del temperature
    ours, theirs = masked(student, counted), masked(teacher, counted)
    best = theirs.topk(min(top, theirs.shape[-1]), -1)
    others = ours.scatter(-1, best.indices, MASKED).logsumexp(-1)
    return _list_likelihood(ours.gather(-1, best.indices), best.values > MASKED, others)


def corrected_ranking_likelihood(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, counted: Tensor | None = None, top: int = 100
) -> Tensor:
    """Return the negative log likelihood of what the student ranks too low, before what it ranks too high.

    The dual correction of Lee & Kim (Dual correction strategy for ranking distillation in top-N recommender system,
    CIKM 2021): the list ``K`` of `ranking_likelihood` are the items that the student underestimates most, by the
    difference of its rank to the teacher's, in the teacher's order; ``L`` are those that it overestimates most. The
    paper draws both with probabilities that rise with the difference; a loss draws nothing and takes the largest.

    Parameters
    ----------
    student, teacher, temperature, counted
        As of `ranking_likelihood`.
    top : int
        Most items of each kind.

    Returns
    -------
    Tensor, shape [...]
        0 where both rank all items alike.
    """
    del temperature
    ours, theirs = masked(student, counted), masked(teacher, counted)
    size = min(top, ours.shape[-1])
    low = _ranks(ours) - _ranks(theirs)
    under, over = low.topk(size, -1), (-low).topk(size, -1)
    kept = theirs.gather(-1, under.indices).masked_fill(under.values <= 0, MASKED)
    order = under.indices.gather(-1, kept.argsort(dim=-1, descending=True, stable=True))
    too_high = ours.gather(-1, over.indices).masked_fill(over.values <= 0, MASKED).logsumexp(-1)
    return _list_likelihood(ours.gather(-1, order), low.gather(-1, order) > 0, too_high)


def _ranks(scores: Tensor) -> Tensor:
    """Return the place of every item when the best is 0, shape [..., items]."""
    order = scores.detach().argsort(dim=-1, descending=True, stable=True)
    return order.argsort(dim=-1)


def _list_likelihood(scores: Tensor, real: Tensor, others: Tensor) -> Tensor:
    """Return ``-sum_k log(exp s_k / (sum_{i >= k} exp s_i + exp others))`` over the real places of a list.

    Parameters
    ----------
    scores : Tensor, shape [..., places]
        The student's scores in the teacher's order.
    real : Tensor of bool, shape [..., places]
        Places of a list that is shorter than the others are not.
    others : Tensor, shape [...]
        Logarithm of the sum of the powers of all other scores.
    """
    known = scores.masked_fill(~real, MASKED)
    tails = torch.cat([others.unsqueeze(-1), known.flip(-1)], -1).logcumsumexp(-1)[..., 1:].flip(-1)
    return ((tails - known) * real).sum(-1)
