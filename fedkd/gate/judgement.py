"""The judgement of a gate: met, not met, or undecided, on confidence bounds.

A mean over users is known up to its sampling error. A requirement is *met* where the one-sided confidence bound of the
mean is on its right side, *not met* where the opposite bound is on the wrong side, and *undecided* between. Bounds are
Student's; a share of another model's mean is a requirement of the paired difference ``student - share * other``, whose
mean has the sign of the answer (Fieller 1954).

The whole gate is met where every requirement is, so each is tested at the full confidence (the intersection-union test,
Berger 1982). It is not met where one is not; that bound is divided by the number of requirements (Bonferroni).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from fedkd.gate.requirements import STUDENT, Requirement

FARTHEST = 1e9
"""More users than anybody has: beyond it no number is named."""


class Decision(StrEnum):
    """Whether a requirement, or all of them, hold."""

    MET = "met"
    NOT_MET = "not-met"
    UNDECIDED = "undecided"


class Evidence(Protocol):
    """Measurements of the validation part."""

    def per_user(self, model: str, metric: str, part: str) -> NDArray[np.float64] | None:
        """Return a metric of every user with a target in a slice, in the same order for all models; None if unknown."""

    def fact(self, model: str, quantity: str) -> float | None:
        """Return a number that is no mean over users; None if unknown."""


@dataclass(frozen=True)
class Check:
    """The judgement of one requirement.

    Attributes
    ----------
    requirement : Requirement
        The requirement.
    decision : Decision
        Whether it holds.
    value, bound : float or None
        The student's value, and what it is compared with; None where it was not measured.
    low, high : float or None
        The confidence bounds of the value less the bound, by which it was decided.
    users : int
        How many users were measured; 0 for what is no mean over users.
    more_users : int or None
        Where it is undecided: how many more users like these would decide, if the means stay; None where none would.
    """

    requirement: Requirement
    decision: Decision
    value: float | None = None
    bound: float | None = None
    low: float | None = None
    high: float | None = None
    users: int = 0
    more_users: int | None = None

    @property
    def margin(self) -> float:
        """The distance of the bound that counts from the requirement, as a share of it; below 0 it fails."""
        if self.low is None or self.high is None or self.bound is None:
            return -math.inf
        inside = self.low if self.requirement.at_least else -self.high
        return inside / abs(self.bound) if self.bound else inside

    @property
    def hope(self) -> float:
        """The same for the opposite bound: below 0 no luck with the users explains the failure."""
        if self.low is None or self.high is None or self.bound is None:
            return -math.inf
        outside = self.high if self.requirement.at_least else -self.low
        return outside / abs(self.bound) if self.bound else outside

    def sentence(self) -> str:
        """Return the judgement for people."""
        words = {Decision.MET: "met", Decision.NOT_MET: "not met", Decision.UNDECIDED: "undecided"}
        head = f"{self.requirement.text}: {words[self.decision]}"
        if self.value is None or self.bound is None:
            return f"{head}, because it was not measured"
        sign = ">=" if self.requirement.at_least else "<="
        body = f"{head}; {plain(self.value)} against {sign} {plain(self.bound)}"
        if self.decision is not Decision.UNDECIDED:
            return body
        if self.more_users is None:
            return f"{body}, and no number of users would decide it"
        return f"{body}; about {self.more_users:,} more users would decide"


def judge(requirements: Sequence[Requirement], evidence: Evidence, confidence: float) -> list[Check]:
    """Return the judgement of every requirement.

    Parameters
    ----------
    requirements : sequence of Requirement
        At least one.
    evidence : Evidence
        The measurements.
    confidence : float
        Of the bound by which a requirement is met.
    """
    error = 1 - confidence
    return [_judged(each, evidence, error, error / len(requirements)) for each in requirements]


def decision(checks: Sequence[Check]) -> Decision:
    """Return the decision about all requirements."""
    found = {check.decision for check in checks}
    if Decision.NOT_MET in found:
        return Decision.NOT_MET
    return Decision.UNDECIDED if Decision.UNDECIDED in found else Decision.MET


def _judged(wanted: Requirement, evidence: Evidence, met_error: float, missed_error: float) -> Check:
    return (_over_users if wanted.varies else _exact)(wanted, evidence, met_error, missed_error)


def _exact(wanted: Requirement, evidence: Evidence, met_error: float, missed_error: float) -> Check:
    del met_error, missed_error
    value = evidence.fact(STUDENT, wanted.quantity)
    other = evidence.fact(wanted.of, wanted.quantity) if wanted.of else 1.0
    if value is None or other is None:
        return Check(wanted, Decision.UNDECIDED)
    bound = wanted.number * other
    held = value >= bound if wanted.at_least else value <= bound
    gap = value - bound
    return Check(wanted, Decision.MET if held else Decision.NOT_MET, value, bound, gap, gap)


def _over_users(wanted: Requirement, evidence: Evidence, met_error: float, missed_error: float) -> Check:
    ours = evidence.per_user(STUDENT, wanted.quantity, wanted.slice)
    theirs = evidence.per_user(wanted.of, wanted.quantity, wanted.slice) if wanted.of else np.ones(1)
    if ours is None or theirs is None or len(ours) < 2:
        return Check(wanted, Decision.UNDECIDED)
    bound = wanted.number * theirs
    gaps = (ours - bound) * (1 if wanted.at_least else -1)
    mean, error = float(gaps.mean()), float(gaps.std(ddof=1) / math.sqrt(len(gaps)))
    sure, surely_not = (float(stdtrit(len(gaps) - 1, 1 - share)) for share in (met_error, missed_error))
    low, high = mean - sure * error, mean + surely_not * error
    found = Decision.MET if low >= 0 else Decision.NOT_MET if high < 0 else Decision.UNDECIDED
    more = (
        _more_users(len(gaps), mean, error, sure if mean > 0 else surely_not) if found is Decision.UNDECIDED else None
    )
    ends = (low, high) if wanted.at_least else (-high, -low)
    return Check(wanted, found, float(ours.mean()), float(np.mean(bound)), *ends, len(gaps), more)


def _more_users(users: int, mean: float, error: float, quantile: float) -> int | None:
    """Return how many more users bring the bound to zero, as the error falls with the root of their number."""
    if mean == 0 or users * (quantile * error / mean) ** 2 > FARTHEST:
        return None
    return max(1, math.ceil(users * (quantile * error / mean) ** 2) - users)


def plain(number: float) -> str:
    """Return a number for people."""
    return (
        f"{number:,.0f}" if math.isfinite(number) and number == round(number) and abs(number) >= 10 else f"{number:.4g}"
    )
