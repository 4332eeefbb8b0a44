"""Canaries: synthetic clients that are in or out by chance, and how well the release tells which.

A mechanism is a function from contributions, shape [clients, dim], to what is released about them: one vector, shape
[dim], or one for each of several releases, shape [releases, dim]. Whatever can be written so can be audited. Three
kinds of canaries look for three kinds of mistakes: a vector of just the clip; one a million times longer, which only a
clip shortens; and the same with a number that is none, at a coordinate of its own.

Attackers compare a release with one about empty contributions too (noise that repeats cancels there), and count the
clients from the noise alone (a divisor or a noise that depends on how many there are shows).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedkd.attacks.bounds import gaussian_shift, one_run_epsilon, shift_epsilon

Floats = NDArray[np.float64]
Mechanism = Callable[[Floats], Floats]

CONFIDENCE = 1 - 2.5e-4
"""Confidence of a whole audit: the chance that it accuses correct code is at most what is left."""

KINDS = ("plain", "oversized", "not a number")
OVERSIZED = 1e6
BOUNDS = 2 * (len(KINDS) + 2) + 1
"""Bounds of one audit, which share its probability of failure."""

LEARNT = 5
"""One canary out of so many serves to choose the threshold between in and out; the others prove the bound."""

GUESSED = 0.2
"""Share of the canaries that the attack without assumptions guesses about."""

BLOCK = 1000
"""Canaries of runs that are joined, where a run has few: several runs are one larger mechanism."""


@dataclass(frozen=True)
class Claim:
    """The guarantee that a mechanism claims.

    Attributes
    ----------
    epsilon, delta : float
        The guarantee, for everything that one call of the mechanism releases.
    unit : str
        Whose presence is hidden.
    adjacency : str
        ``add-remove`` or ``replace-one``.
    """

    epsilon: float
    delta: float
    unit: str = "user"
    adjacency: str = "add-remove"


@dataclass(frozen=True)
class Canaries:
    """Presence of the canaries, and their scores in the releases.

    Attributes
    ----------
    present : ndarray of bool, shape [runs, together]
        The truth.
    kind : ndarray of int64, shape [runs, together]
        Position in ``KINDS``.
    scores : ndarray, shape [2, runs, together]
        The canary's own coordinate of the release, and of its difference to a release about nothing.
    """

    present: NDArray[np.bool_]
    kind: NDArray[np.int64]
    scores: Floats


@dataclass(frozen=True)
class CanaryAudit:
    """The result of an audit.

    Attributes
    ----------
    claim : Claim
        What was promised.
    one_run : float
        Lower bound on epsilon without assumptions.
    gaussian : float
        Lower bound on epsilon of a mechanism with Gaussian noise.
    canaries : int
        How many took part.
    confidence : float
        That neither bound exceeds the truth.
    broken : str
        What no guarantee survives, in words; empty otherwise.
    """

    claim: Claim
    one_run: float
    gaussian: float
    canaries: int
    confidence: float
    broken: str = ""

    @property
    def measured(self) -> float:
        """The largest epsilon that is proved."""
        return np.inf if self.broken else max(self.one_run, self.gaussian)

    @property
    def exceeded(self) -> bool:
        """Whether more leaks than was claimed."""
        return self.measured > self.claim.epsilon


def audit(
    mechanism: Mechanism,
    claim: Claim,
    clip: float,
    rng: np.random.Generator,
    canaries: int = 16_000,
    together: int = 1000,
    confidence: float = CONFIDENCE,
) -> CanaryAudit:
    """Attack a mechanism and return what that proves about its epsilon.

    Parameters
    ----------
    mechanism : callable
        What is audited.
    claim : Claim
        What it promises.
    clip : float
        The Euclidean norm to which it must shorten a client's contribution.
    rng : numpy.random.Generator
        Decides who is in.
    canaries, together : int
        How many canaries in all, and how many in one call of the mechanism.
    confidence : float
        Of all bounds together.
    """
    failure = (1 - confidence) / BOUNDS
    try:
        seen = observe(mechanism, claim.adjacency, clip, rng, canaries, together)
        shifts = [_shift(seen, kind, row, failure) for kind in (None, *range(len(KINDS))) for row in (0, 1)]
        shifts += [silent_shift(mechanism, failure)] if claim.adjacency == "add-remove" else []
        one_run = max(_one_run(seen, row, claim.delta, failure) for row in (0, 1))
    except BrokenReleaseError as error:
        return CanaryAudit(claim, np.inf, np.inf, canaries, confidence, str(error))
    return CanaryAudit(claim, one_run, shift_epsilon(max(shifts), claim.delta), canaries, confidence)


class BrokenReleaseError(Exception):
    """A release depends on the data in a way that no noise hides."""


def observe(
    mechanism: Mechanism, adjacency: str, clip: float, rng: np.random.Generator, canaries: int, together: int
) -> Canaries:
    """Play canaries against a mechanism, some of them together in one call, each on a coordinate of its own.

    A canary that is out contributes zeros under add-remove, and the opposite vector under replace-one.

    Raises
    ------
    BrokenReleaseError
        A release is not finite.
    """
    together = min(together, canaries)
    runs = [_play(mechanism, adjacency, clip, rng, together) for _ in range(-(-canaries // together))]
    present, kind, scores = zip(*runs, strict=True)
    return Canaries(np.stack(present), np.stack(kind), np.stack(scores, axis=1))


def _play(
    mechanism: Mechanism, adjacency: str, clip: float, rng: np.random.Generator, count: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64], Floats]:
    present, kind = rng.random(count) < 0.5, rng.integers(0, len(KINDS), count)
    sign = np.where(present, 1.0, -1.0 if adjacency == "replace-one" else 0.0)
    contributions = np.zeros((count, count + 1))
    contributions[np.arange(count), np.arange(count)] = sign * clip * np.where(kind > 0, OVERSIZED, 1.0)
    contributions[(kind == KINDS.index("not a number")) & (sign != 0), count] = np.nan
    released = _mean_release(mechanism, contributions)
    about_nothing = _mean_release(mechanism, np.zeros_like(contributions))
    scores = np.stack([released, released - about_nothing]) / clip
    return present, kind, scores[:, :count]


def _mean_release(mechanism: Mechanism, contributions: Floats) -> Floats:
    released = np.atleast_2d(mechanism(contributions))
    if released.shape[1:] != contributions.shape[1:]:
        raise BrokenReleaseError(f"the release has shape {released.shape[1:]} for {contributions.shape[1:]} numbers")
    if not np.isfinite(released).all():
        raise BrokenReleaseError("a client's number that is not finite came out with the release")
    return np.asarray(released.mean(axis=0))


def _shift(seen: Canaries, kind: int | None, row: int, failure: float) -> float:
    """Return a lower bound on ``mu``: the threshold comes from some of the canaries, the bound from the others."""
    chosen = np.ones_like(seen.present) if kind is None else seen.kind == kind
    return separation(seen.scores[row][chosen], seen.present[chosen], failure)


def separation(scores: Floats, present: NDArray[np.bool_], failure: float) -> float:
    """Return a lower bound on ``mu`` of independent trials with a score each, shape [trials]."""
    learn = np.arange(len(scores)) % LEARNT == 0
    test = ~learn
    if not present[learn].any() or present[learn].all():
        return 0.0
    threshold = (np.median(scores[learn][present[learn]]) + np.median(scores[learn][~present[learn]])) / 2
    alarm, truth = scores[test] > threshold, present[test]
    return gaussian_shift(
        int((alarm & truth).sum()), int(truth.sum()), int((alarm & ~truth).sum()), int((~truth).sum()), failure
    )


def _one_run(seen: Canaries, row: int, delta: float, failure: float) -> float:
    """Guess that the highest scores were in and the lowest out, and abstain in between."""
    runs, together = seen.present.shape
    joined = min(runs, -(-BLOCK // together))
    whole = runs - runs % joined
    present = seen.present[:whole].reshape(-1, joined * together)
    order = np.argsort(seen.scores[row, :whole].reshape(present.shape), axis=1, kind="stable")
    truth = np.take_along_axis(present, order, axis=1)
    half = max(1, round(GUESSED * present.shape[1] / 2))
    correct = truth[:, -half:].sum(axis=1) + (~truth[:, :half]).sum(axis=1)
    return one_run_epsilon(correct, 2 * half, present.shape[1], delta, failure)


def silent_shift(mechanism: Mechanism, failure: float, runs: int = 240, dim: int = 64) -> float:
    """Return a lower bound on ``mu`` for a client that contributes zeros: whether the noise tells one from two.

    Correct noise is the same with and without it, so this finds what depends on the true number of clients.
    """
    score, joined = np.empty(runs), np.arange(runs) // 2 % 2 == 1
    for run in range(runs):
        released = _mean_release(mechanism, np.zeros((1 + int(joined[run]), dim)))
        score[run] = np.log(np.abs(released).mean() + 1e-300)
    return max(separation(sign * score, joined, failure / 2) for sign in (1, -1))
