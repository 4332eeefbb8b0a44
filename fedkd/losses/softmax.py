"""The student's softmax against the teacher's, both at a temperature: all items, or a list and a bucket."""

import torch
from torch import Tensor

MASKED = -1e9
"""Score of an item that a softmax leaves out: its probability is 0, and no NaN arises from 0 times infinity."""


def masked(scores: Tensor, counted: Tensor | None) -> Tensor:
    """Return scores of which the items that do not count are too low to matter."""
    return scores if counted is None else scores.masked_fill(~counted, MASKED)


def soft_label_divergence(
    student: Tensor, teacher: Tensor, temperature: float, counted: Tensor | None = None, top: int = 0
) -> Tensor:
    """Return ``T^2 KL(softmax(t / T) || softmax(s / T))``, the soft-label loss of Hinton et al.

    The factor ``T^2`` keeps gradients of one size whatever the temperature (Hinton, Vinyals & Dean, Distilling the
    knowledge in a neural network, 2015, section 2); it stands in this file and nowhere else.

    Parameters
    ----------
    student, teacher : Tensor, shape [..., items]
        Scores.
    temperature : float
        High ones flatten the teacher's distribution; EASE, whose scores lie between 0 and 1, wants about 0.05.
    counted : Tensor of bool, shape [..., items], optional
        The items that are compared; all of them by default.
    top : int
        Of no meaning here: the whole catalogue is compared.

    Returns
    -------
    Tensor, shape [...]
    """
    del top
    return _divergence(*_log_softmax(student, teacher, temperature, counted), temperature)


def top_divergence(
    student: Tensor, teacher: Tensor, temperature: float, counted: Tensor | None = None, top: int = 100
) -> Tensor:
    """Return ``T^2 KL`` between the teacher's list of the best items and a bucket for all others.

    With ``p = softmax(t / T)``, ``q = softmax(s / T)`` and the teacher's ``top`` items ``J``, it is
    ``T^2 (sum_J p log(p / q) + P log(P / Q))``, where ``P = 1 - sum_J p`` and ``Q = 1 - sum_J q``. Without the bucket
    the student would not learn that items outside the list are bad. It is what a teacher's answer of few items allows,
    and never larger than the divergence over all items.

    Parameters
    ----------
    student, teacher, temperature, counted
        As of `soft_label_divergence`.
    top : int
        Length of the teacher's list; the whole catalogue where that is shorter.

    Returns
    -------
    Tensor, shape [...]
    """
    ours, theirs = _log_softmax(student, teacher, temperature, counted)
    listed = theirs.topk(min(top, theirs.shape[-1]), -1).indices
    return _divergence(_with_bucket(ours, listed), _with_bucket(theirs, listed), temperature)


def _log_softmax(student: Tensor, teacher: Tensor, temperature: float, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    ours, theirs = (torch.log_softmax(masked(scores, counted) / temperature, -1) for scores in (student, teacher))
    return ours, theirs


def _divergence(ours: Tensor, theirs: Tensor, temperature: float) -> Tensor:
    return temperature**2 * (theirs.exp() * (theirs - ours)).sum(-1)


def _with_bucket(log_probability: Tensor, listed: Tensor) -> Tensor:
    """Return the log probabilities of the listed items, and of all others together, shape [..., listed + 1]."""
    rest = log_probability.scatter(-1, listed, MASKED).logsumexp(-1, keepdim=True)
    return torch.cat([log_probability.gather(-1, listed), rest], -1)
