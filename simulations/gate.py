"""The gate of a simulated run: its requirements, judged on the validation part."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.evaluation.evaluator import Lists, PerUser, measure_lists
from fedkd.evaluation.metrics import METRICS
from fedkd.evaluation.rows import BASELINES
from fedkd.evaluation.slices import POPULARITY, history_slices, popularity_targets
from fedkd.gate.judgement import Check, decision, judge
from fedkd.gate.requirements import EPSILON, FACTS
from fedkd.runs.config import Config
from fedkd.runs.federation import Federation

VALIDATION = "validation"
"""The part of the data on which a gate is judged, and the folder of the run inside a run that reports on another."""

NOBODY = PerUser(np.zeros(0, np.int64), np.zeros((0, len(METRICS))))


@dataclass(frozen=True)
class Measured:
    """A simulation's measurements of its models on the validation part.

    Attributes
    ----------
    lists : mapping of str to Lists
        Every model's recommendations to the private users.
    together : Federation
        The data.
    summary : mapping
        The run's summary so far.
    """

    lists: Mapping[str, Lists]
    together: Federation
    summary: Mapping[str, Any]

    def per_user(self, model: str, metric: str, part: str) -> NDArray[np.float64] | None:
        """Return a metric of every private user with a target in a slice, see `fedkd.gate.judgement.Evidence`."""
        if model not in self.lists:
            return None
        return self._slice(self.lists[model], part).column(metric)

    def fact(self, model: str, quantity: str) -> float | None:
        """Return a number of the summary; epsilon is infinite where nothing is protected."""
        if quantity == EPSILON:
            spent = self.summary["privacy"].get("epsilon")
            return math.inf if spent is None else float(spent)
        found: Any = self.summary["models"].get(model, {})
        for name in FACTS[quantity]:
            found = found.get(name) if isinstance(found, Mapping) else None
        return None if found is None else float(found)

    def _slice(self, lists: Lists, part: str) -> PerUser:
        fold = self.together.fold
        if part.removesuffix(" items") in POPULARITY:
            return measure_lists(lists, popularity_targets(fold)[part])
        everyone = measure_lists(lists, fold.target)
        return history_slices(everyone, fold).get(part, NOBODY) if part else everyone


def judged(config: Config, measured: Measured) -> dict[str, Any]:
    """Return the summary's part about the gate."""
    checks = judge(config.gate.read, measured, config.gate.confidence)
    return {
        "decision": str(decision(checks)),
        "part": VALIDATION,
        "confidence": config.gate.confidence,
        "checks": list(map(described, checks)),
    }


def described(check: Check) -> dict[str, Any]:
    """Return a check as ``summary.json`` holds it; what is not finite is absent."""
    numbers = {name: getattr(check, name) for name in ("value", "bound", "low", "high", "margin", "hope")}
    return {
        "requirement": check.requirement.text,
        "decision": str(check.decision),
        **{name: number for name, number in numbers.items() if number is not None and math.isfinite(number)},
        "users": check.users,
        "more-users": check.more_users,
        "sentence": check.sentence(),
    }


def needs_own_run(config: Config) -> bool:
    """Return whether a gate is to be judged on another part of the data than the run measures."""
    return bool(config.gate.requirements) and config.evaluation.target != VALIDATION


def validation_run(config: Config, folder: Path) -> Config:
    """Return the configuration of the run on the validation part that a gate is judged on, in a folder of its own.

    It makes those baselines alone that a requirement names.
    """
    named = {model for each in config.gate.read for model in each.models}
    evaluation = {"target": VALIDATION, "baselines": tuple(name for name in BASELINES if name in named)}
    return config.model_copy(
        update={
            "evaluation": config.evaluation.model_copy(update=evaluation),
            "runtime": config.runtime.model_copy(update={"run_folder": folder}),
        }
    )
