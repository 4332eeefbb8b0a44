"""Conclusions from the trials of a search: whether one passed, whether any can, and the frontier."""

import time
from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from simulations.study import PATIENCE

WORST = -10.0
"""The margin of a student that has none, because it could not be made or measured."""

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def ended(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that were made, to their end or until they were stopped as worse than others."""
    return [trial for trial in trials if trial.state in ENDED]


def measured(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials whose students were judged."""
    return [trial for trial in trials if trial.state is TrialState.COMPLETE and "checks" in trial.user_attrs]


def verdict(trials: Sequence[FrozenTrial], planned: int, deadline: float) -> str | None:
    """Return how a search ends, ``found``, ``impossible``, ``trials`` or ``time``; None while it goes on.

    Parameters
    ----------
    trials : sequence of FrozenTrial
        All trials.
    planned : int
        The most trials.
    deadline : float
        Seconds since 1970 after which no trial begins.
    """
    if passing(trials):
        return "found"
    if hopeless(trials, planned):
        return "impossible"
    if len(ended(trials)) >= planned:
        return "trials"
    return "time" if time.time() >= deadline else None


def passing(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that passed, the best first."""
    return _best_first([trial for trial in measured(trials) if trial.user_attrs["decision"] == "met"])


def hopeless(trials: Sequence[FrozenTrial], planned: int) -> bool:
    """Return whether no setting passes, as far as the search can tell.

    The *hope* of a trial is how far its student would be inside the worst requirement if luck with the users explained
    as much as it can. The search gives up where the best hope is below 0, and would stay so if it rose in all trials
    that are left as fast as it did in the second half of those made.
    """
    hopes = [_hope(trial) for trial in ended(trials)]
    if len(hopes) < PATIENCE:
        return False
    before, now = max(hopes[: len(hopes) // 2]), max(hopes)
    pace = (now - before) / (len(hopes) - len(hopes) // 2)
    return now + pace * max(0, planned - len(hopes)) < 0


def _hope(trial: FrozenTrial) -> float:
    if trial.state is TrialState.PRUNED:
        return WORST
    checks = trial.user_attrs.get("checks")
    return min(check["hope"] for check in checks) if checks else float(trial.value or WORST)


def frontier(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials to which no other is better in one requirement and no worse in the rest, the best first."""
    margins = {trial.number: [check["margin"] for check in trial.user_attrs["checks"]] for trial in measured(trials)}

    def beaten(trial: FrozenTrial) -> bool:
        own = margins[trial.number]
        return any(
            other != own and all(theirs >= ours for theirs, ours in zip(other, own, strict=True))
            for other in margins.values()
        )

    return _best_first([trial for trial in measured(trials) if not beaten(trial)])


def _best_first(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return sorted(trials, key=lambda trial: -(trial.value or 0.0))
