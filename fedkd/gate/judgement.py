"""The judgement of a gate: met, not met, or undecided, on confidence bounds.

A mean over users is known up to its sampling error. A requirement is *met* where the one-sided confidence bound of the
mean is on its right side, *not met* where the opposite bound is on the wrong side, and *undecided* between. A share of
another model's mean is a requirement of the paired difference ``student - share * other``, whose mean has the sign of
the answer (Fieller 1954).

Bounds are Student's, after two users were added who speak against the decision as much as a user can. Without them
users of a kind that is rare, and that nobody measured, are taken for impossible: of 120 users with hits all of whom the
student serves as well as the teacher does, it may yet fail one in fifty (Agresti and Coull, The American Statistician
1998, who add two successes and two failures). Each bound may fail with half of the error that is allowed, because means
of few users, and of zeros and ones above all, are not Student's exactly.

The whole gate is met where every requirement is, so each is tested at the full confidence (the intersection-union test,
Berger 1982). It is not met where one is not; that bound is divided by the number of requirements (Bonferroni).
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from fedkd.gate.requirements import STUDENT, Requirement

FARTHEST = 10**9
"""More users than anybody has: beyond it no number is named."""

CAUTION = 0.5
"""Share of the allowed error with which a bound may fail."""

ADDED = 2
"""Users who are added to those measured, and speak against the decision."""


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
    error = CAUTION * (1 - confidence)
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
    sign = 1 if wanted.at_least else -1
    for_it = Gaps.of(sign * (ours - bound), _farthest(ours, theirs, wanted, sign))
    against = Gaps.of(sign * (bound - ours), _farthest(ours, theirs, wanted, -sign))
    low, high = for_it.end(met_error), -against.end(missed_error)
    found = Decision.MET if low >= 0 else Decision.NOT_MET if high < 0 else Decision.UNDECIDED
    ends = (low, high) if wanted.at_least else (-high, -low)
    check = Check(wanted, found, float(ours.mean()), float(np.mean(bound)), *ends, len(ours))
    if found is not Decision.UNDECIDED:
        return check
    more = for_it.more_users(met_error) if for_it.mean > 0 else against.more_users(missed_error)
    return replace(check, more_users=more)


def _farthest(ours: NDArray[np.float64], theirs: NDArray[np.float64], wanted: Requirement, sign: int) -> float:
    """Return the gap of a user who speaks most against a decision.

    A metric lies between 0 and 1. Beside another model it is the largest difference of the two that any user has: lists
    that differ little for all who were measured do so for others.
    """
    if wanted.of:
        return -(float(np.abs(ours - theirs).max()) or 1.0)
    return min(sign * (end - wanted.number) for end in (0.0, 1.0))


@dataclass(frozen=True)
class Gaps:
    """The distances of users from a bound, positive on its right side.

    Attributes
    ----------
    users : int
        How many they are.
    mean, square : float
        Means of the gaps and of their squares.
    farthest : float
        The gap of a user who speaks most against the decision.
    """

    users: int
    mean: float
    square: float
    farthest: float

    @classmethod
    def of(cls, gaps: NDArray[np.float64], farthest: float) -> "Gaps":
        """Return the gaps of all users."""
        return cls(len(gaps), float(gaps.mean()), float(np.square(gaps).mean()), farthest)

    def end(self, error: float, users: int | None = None) -> float:
        """Return the lower bound of the mean that fails with some probability, for as many users like these."""
        users = users or self.users
        whole = users + ADDED
        mean = (users * self.mean + ADDED * self.farthest) / whole
        square = (users * self.square + ADDED * self.farthest**2) / whole
        variance = max(0.0, square - mean**2) / (whole - 1)
        return mean - float(stdtrit(whole - 1, 1 - error)) * math.sqrt(variance)

    def more_users(self, error: float) -> int | None:
        """Return how many more users like these bring the bound to zero; None where none do."""
        return _least(lambda users: self.end(error, users) >= 0, self.users)


def _least(enough: Callable[[int], bool], users: int) -> int | None:
    """Return how many more users are enough."""
    most = users
    while not enough(most):
        most *= 2
        if most > FARTHEST:
            return None
    return max(1, bisect_left(range(users, most), True, key=enough))


def plain(number: float) -> str:
    """Return a number for people."""
    return (
        f"{number:,.0f}" if math.isfinite(number) and number == round(number) and abs(number) >= 10 else f"{number:.4g}"
    )
