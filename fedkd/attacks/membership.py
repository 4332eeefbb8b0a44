"""Membership inference: deciding whether a client was part of what taught a model.

The attacker has the released model and a candidate's history. A model that was taught with the candidate predicts a
hidden half of that history a little better than one that was not, which shows in the loss. Shadow federations, with
and without the candidate, show how much better (likelihood ratio).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, ndtri

from fedkd.attacks.bounds import Finding, share_bounds
from fedkd.models.base import Recommender, score
from fedkd.ragged import Ragged

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FALSE_ALARMS = 0.01
"""The rate of false alarms at which the share of recognised members is reported."""


@dataclass(frozen=True)
class Membership:
    """Distinguishability of members from others.

    Attributes
    ----------
    auroc : Finding
        Probability that a member scores higher than someone else.
    recognised : Finding
        Share of members above a threshold that 1 % of the others pass.
    """

    auroc: Finding
    recognised: Finding


def membership(name: str, scores: Floats, member: Flags, confidence: float = 0.95) -> Membership:
    """Return how well scores, shape [clients], distinguish members from others.

    Parameters
    ----------
    name : str
        What the attack is called.
    scores : ndarray, shape [clients]
        Higher for those who look like members.
    member : ndarray of bool, shape [clients]
        The truth; there must be some of both.
    confidence : float
        Of the intervals.
    """
    area = auroc(scores, member, f"AUROC of membership by {name}", confidence)
    return Membership(area, recognised(scores, member, f"members known at 1 % false alarms by {name}", confidence))


def auroc(scores: Floats, member: Flags, metric: str, confidence: float) -> Finding:
    """Return the area under the ROC curve, with DeLong's interval (Biometrics 44, 1988)."""
    inside, outside = scores[member], np.sort(scores[~member])
    inside_sorted = np.sort(inside)
    over = _share_below(outside, inside)
    under = 1 - _share_below(inside_sorted, scores[~member])
    value = float(over.mean())
    variance = sum(part.var(ddof=1) / len(part) for part in (over, under) if len(part) > 1)
    half = float(ndtri((1 + confidence) / 2) * np.sqrt(variance))
    return Finding(metric, value, max(0.0, value - half), min(1.0, value + half), 0.5, len(scores), confidence)


def recognised(scores: Floats, member: Flags, metric: str, confidence: float) -> Finding:
    """Return the share of members above the threshold of 1 % false alarms.

    More than 1 % of all others may pass a threshold that a few of them set. The lower end allows for that: an attacker
    may drop alarms by chance until 1 % of the others pass, and loses hits in proportion.
    """
    others = np.sort(scores[~member])[::-1]
    threshold = others[int(FALSE_ALARMS * len(others))]
    hits, members = int((scores[member] > threshold).sum()), int(member.sum())
    low, high = share_bounds(hits, members, 1 - confidence)
    passing = share_bounds(int((others > threshold).sum()), len(others), 1 - confidence)[1]
    low *= FALSE_ALARMS / max(FALSE_ALARMS, passing)
    return Finding(metric, hits / members, low, high, FALSE_ALARMS, len(scores), confidence)


def likelihood_ratio(loss: Floats, shadow_losses: Floats, shadow_members: Flags) -> Floats:
    """Return how much better a client's loss fits the shadows that it was part of, shape [clients].

    Carlini et al., Membership inference attacks from first principles, S&P 2022, with one variance for all clients, as
    they advise for few shadows.

    Parameters
    ----------
    loss : ndarray, shape [clients]
        Under the model that is attacked.
    shadow_losses : ndarray, shape [shadows, clients]
        Under the shadows' models.
    shadow_members : ndarray of bool, shape [shadows, clients]
        Who was part of which shadow; every client must be part of some, and not of others.
    """
    inside = np.where(shadow_members, shadow_losses, 0).sum(axis=0) / shadow_members.sum(axis=0)
    outside = np.where(shadow_members, 0, shadow_losses).sum(axis=0) / (~shadow_members).sum(axis=0)
    residual = shadow_losses - np.where(shadow_members, inside, outside)
    variance = float((residual**2).mean()) + 1e-12
    return np.asarray(((loss - outside) ** 2 - (loss - inside) ** 2) / (2 * variance))


def halves(num_clients: int, pairs: int, rng: np.random.Generator) -> Flags:
    """Return members of shadows: random halves and what they leave out, shape [2 pairs, clients]."""
    chosen = np.zeros((pairs, num_clients), bool)
    for row in chosen:
        row[rng.permutation(num_clients)[: num_clients // 2]] = True
    return np.concatenate([chosen, ~chosen])


def hidden_loss(model: Recommender, histories: Ragged) -> Floats:
    """Return the mean cross entropy of every other item of a history, given the rest, shape [clients].

    A client with fewer than two items has loss 0.
    """
    place = np.arange(len(histories.values)) - np.repeat(histories.indptr[:-1], histories.lengths)
    shown, hidden = histories.where(place % 2 == 0), histories.where(place % 2 == 1)
    scores = score(model, shown).astype(np.float64)
    scores[shown.row_index, shown.values] = -1e9  # what is shown cannot be next
    loss = -log_softmax(scores, axis=1)[hidden.row_index, hidden.values]
    return np.bincount(hidden.row_index, loss, len(histories)) / np.maximum(hidden.lengths, 1)


def _share_below(ordered: Floats, values: Floats) -> Floats:
    """Return the share of ``ordered`` below each value, ties by half."""
    left, right = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.asarray((left + right) / 2 / len(ordered))
