"""Estimates of the clicks that another policy would have had, from the log of the one that was shown.

All are sums over places, as attention to a place and attraction of its item are independent (the position-based model).
"""

import numpy as np
from numpy.typing import NDArray

from fedkd.evaluation.evaluator import Interval
from fedkd.feedback.behaviour import Shown
from fedkd.feedback.world import Floats, Ints, Marks

Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


def inverse_propensity(shown: Shown, clicked: Marks, policy: Ints) -> Interval:
    """Return the inverse propensity estimate (Horvitz & Thompson 1952), with its 95 % interval.

    Parameters
    ----------
    shown : Shown
        The log.
    clicked : ndarray of bool, shape [lists, places]
        Its clicks.
    policy : ndarray of int64, shape [lists, places]
        The lists of the policy that is asked about, for the same users.
    """
    return _interval((_weights(shown, policy) * clicked).sum(1))


def self_normalised(shown: Shown, clicked: Marks, policy: Ints) -> Interval:
    """Return the self-normalised estimate (Swaminathan & Joachims 2015): place by place, weights add up to the lists.

    Its interval is that of the linearised ratio.
    """
    weights = _weights(shown, policy)
    mean_weight = weights.mean(0)
    seen = mean_weight > 0
    rate = np.divide((weights * clicked).mean(0), mean_weight, out=np.zeros(len(mean_weight)), where=seen)
    part = np.divide(weights * (clicked - rate), mean_weight, out=np.zeros(weights.shape), where=seen)
    return _interval(part.sum(1) + rate.sum())


def doubly_robust(shown: Shown, clicked: Marks, policy: Ints, model: Floats) -> Interval:
    """Return the doubly robust estimate (Dudik, Langford & Li 2011).

    Parameters
    ----------
    shown, clicked, policy
        As in ``inverse_propensity``.
    model : ndarray, shape [places, items]
        A model of the click rate of an item at a place.
    """
    place = np.arange(policy.shape[1])
    direct, logged = model[place, policy], model[place, shown.items]
    return _interval((direct + _weights(shown, policy) * (clicked - logged)).sum(1))


def click_model(shown: Shown, clicked: Marks, num_items: int, strength: float = 20.0) -> Floats:
    """Return the click rate of items at places from a log, shape [places, items]: place times item, shrunk to the mean.

    Parameters
    ----------
    shown, clicked
        The log.
    num_items : int
        Size of the catalogue.
    strength : float
        Clicks and showings of the mean that are added to every item's own.
    """
    rate = clicked.mean(0)
    expected = np.bincount(shown.items.ravel(), np.broadcast_to(rate, clicked.shape).ravel(), num_items)
    found = np.bincount(shown.items.ravel(), clicked.ravel(), num_items)
    prior = strength * max(float(rate.mean()), 1e-9)
    return np.asarray(rate[:, None] * (found + prior) / (expected + prior))


def _weights(shown: Shown, policy: Ints) -> Floats:
    return np.asarray((shown.items == policy) / shown.propensity)


def _interval(values: NDArray[np.float64]) -> Interval:
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    return {"mean": mean, "low": mean - Z * error, "high": mean + Z * error}
