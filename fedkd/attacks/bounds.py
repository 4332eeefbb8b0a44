"""Intervals of a share, and lower bounds on epsilon, from counts of right and wrong guesses.

A bound holds with a stated probability of failure, whatever the mechanism does, or under an assumption that its
function names. It is a proof of a leak, never of its absence.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, chdtrc, gammaln, ndtr, ndtri, stdtrit

from fedkd.privacy.accounting import epsilon
from fedkd.privacy.events import Cost

HIGHEST_EPSILON = 50.0
"""No audit of practical size can prove more."""

THRESHOLDS = 1000
"""Most thresholds that an attacker tries."""


@dataclass(frozen=True)
class Finding:
    """The success of an attack.

    Attributes
    ----------
    metric : str
        What was measured.
    value, low, high : float
        The measurement and its interval.
    random : float
        What someone achieves who never saw a release.
    trials : int
        Clients, or guesses, that it was measured on.
    confidence : float
        That the interval covers the truth.
    """

    metric: str
    value: float
    low: float
    high: float
    random: float
    trials: int
    confidence: float = 0.95


def mean_finding(metric: str, values: NDArray[np.float64], random: float, confidence: float = 0.95) -> Finding:
    """Return the mean over clients with Student's interval.

    Parameters
    ----------
    metric : str
        What the values are.
    values : ndarray, shape [clients]
        One measurement a client; without any, the finding is that of chance.
    random : float
        The mean that chance gives.
    confidence : float
        Of the interval.
    """
    count = len(values)
    if not count:
        return Finding(metric, random, random, random, random, 0, confidence)
    mean = float(values.mean())
    half = 0.0
    if count > 1:
        half = float(stdtrit(count - 1, (1 + confidence) / 2) * values.std(ddof=1) / math.sqrt(count))
    return Finding(metric, mean, mean - half, mean + half, random, count, confidence)


def share_bounds(successes: int, trials: int, failure: float) -> tuple[float, float]:
    """Return an interval of a probability that fails on each side with at most ``failure`` / 2.

    Clopper & Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial, 1934.
    """
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, failure / 2))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1 - failure / 2))
    return low, high


def epsilon_from_rates(hits: int, present: int, false_alarms: int, absent: int, delta: float, failure: float) -> float:
    """Return a lower bound on epsilon from independent trials: ``TPR <= exp(epsilon) FPR + delta``, and mirrored.

    Parameters
    ----------
    hits, present : int
        How often presence was noticed, and how often there was one.
    false_alarms, absent : int
        How often absence was taken for presence, and how often there was none.
    delta : float
        Of the guarantee that is attacked.
    failure : float
        Probability with which the bound may exceed the truth.
    """
    low, high = _rates(hits, present, false_alarms, absent, failure)
    return max(0.0, _log_ratio(low - delta, high), _log_ratio(1 - high - delta, 1 - low))


def threshold_epsilon(scores: NDArray[np.float64], present: NDArray[np.bool_], delta: float, failure: float) -> float:
    """Return a lower bound on epsilon from a score of every independent trial: the higher, the more likely presence.

    The first half of the trials chooses the threshold that would prove most, the second half proves.

    Parameters
    ----------
    scores, present : ndarray, shape [trials]
        What was seen, and the truth.
    delta, failure : float
        Of the guarantee, and of the bound.
    """
    half = len(scores) // 2

    def proven(threshold: float, part: slice) -> float:
        alarm, there = scores[part] > threshold, present[part]
        hits, false = int((alarm & there).sum()), int((alarm & ~there).sum())
        return epsilon_from_rates(hits, int(there.sum()), false, int((~there).sum()), delta, failure)

    candidates = np.unique(np.quantile(scores[:half], np.linspace(0, 1, THRESHOLDS)))
    return proven(max(candidates, key=lambda threshold: proven(threshold, slice(half))), slice(half, None))


def gaussian_shift(hits: int, present: int, false_alarms: int, absent: int, failure: float) -> float:
    """Return a lower bound on ``mu``, as far as the mechanism is Gaussian: ``mu >= Phi^-1(TPR) - Phi^-1(FPR)``.

    Dong, Roth & Su, Gaussian differential privacy, JRSS B 2022; Nasr et al., Tight auditing of differentially private
    machine learning, USENIX Security 2023. ``1 / mu`` is the noise multiplier that the attacker faced at most.
    """
    low, high = _rates(hits, present, false_alarms, absent, failure)
    if low <= 0 or high >= 1:
        return 0.0
    return max(0.0, float(ndtri(low) - ndtri(high)))


def shift_epsilon(shift: float, delta: float) -> float:
    """Return epsilon of the Gaussian mechanism whose two outcomes lie ``shift`` standard deviations apart."""
    return 0.0 if shift <= 0 else epsilon(Cost.of_gaussian(1 / shift), delta)


def best_auroc(shift: float) -> float:
    """Return the largest area under the ROC curve that the Gaussian mechanism allows: ``Phi(mu / sqrt 2)``."""
    return float(ndtr(shift / math.sqrt(2)))


def one_run_epsilon(correct: NDArray[np.int64], guesses: int, canaries: int, delta: float, failure: float) -> float:
    """Return a lower bound on epsilon from guesses about canaries that were all in or out of one and the same run.

    No assumption on the mechanism. Steinke, Nasr & Jagielski, Privacy auditing with one (1) training run, NeurIPS
    2023, theorem 5.2; several runs are joined by Fisher's method, as delta costs one run of them dear.

    Parameters
    ----------
    correct : ndarray of int64, shape [runs]
        How many of the guesses are right, in each of some independent runs.
    guesses : int
        In a run; the attacker may abstain from the others.
    canaries : int
        In a run; each was in with probability one half, independently.
    delta, failure : float
        Of the guarantee, and of the bound.
    """

    def refuted(epsilon: float) -> bool:
        chances = [one_run_p_value(epsilon, int(right), guesses, canaries, delta) for right in correct]
        statistic = -2 * np.log(np.maximum(chances, 1e-300)).sum()
        return bool(chdtrc(2 * len(chances), statistic) <= failure)

    return _largest(refuted)


def one_run_p_value(epsilon: float, correct: int, guesses: int, canaries: int, delta: float) -> float:
    """Return how probable so many right guesses are at most under (epsilon, delta)-differential privacy."""
    number = np.arange(guesses + 1)
    log_chance = gammaln(guesses + 1) - gammaln(number + 1) - gammaln(guesses - number + 1)
    log_chance += -number * np.logaddexp(0.0, -epsilon) - (guesses - number) * np.logaddexp(0.0, epsilon)
    chance = np.exp(log_chance)
    if not correct:
        return 1.0
    tail = float(chance[correct:].sum())
    below = np.cumsum(chance[:correct][::-1])
    slack = 2 * float((below / np.arange(1, correct + 1)).max())
    return min(1.0, tail + slack * canaries * delta)


def _rates(hits: int, present: int, false_alarms: int, absent: int, failure: float) -> tuple[float, float]:
    """Return a lower bound of the true and an upper bound of the false positive rate, both holding together."""
    if not present or not absent:
        return 0.0, 1.0
    return share_bounds(hits, present, failure)[0], share_bounds(false_alarms, absent, failure)[1]


def _log_ratio(above: float, below: float) -> float:
    if above <= 0:
        return 0.0
    return HIGHEST_EPSILON if below <= 0 else min(HIGHEST_EPSILON, math.log(above / below))


def _largest(refuted: Callable[[float], bool]) -> float:
    """Return the largest epsilon that is refuted, 0 if none, to 1e-3."""
    low, high = 0.0, HIGHEST_EPSILON
    if not refuted(low):
        return 0.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low
