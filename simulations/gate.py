"""The gate of a simulated run: its requirements, judged on the validation part."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.deployment.scorers import ExportedModel
from fedkd.evaluation.beyond import beyond_accuracy
from fedkd.evaluation.evaluator import Lists, PerUser, measure_lists, recommend
from fedkd.evaluation.metrics import METRICS
from fedkd.evaluation.rows import BASELINES
from fedkd.evaluation.slices import POPULARITY, history_slices, popularity_targets
from fedkd.gate.judgement import Check, Decision, decision, judge
from fedkd.gate.requirements import EPSILON, FACTS, STUDENT
from fedkd.lists.adjustment import Adjustment
from fedkd.models.base import Recommender
from fedkd.runs.config import Config
from fedkd.runs.federation import Federation
from simulations.analysis import agreed, typical_history
from simulations.compressing import MENDED, smaller

VALIDATION = "validation"
"""The part of the data on which a gate is judged, and the folder of the run inside a run that reports on another."""

LISTED = "listed"
"""The row of the student's lists after the steps of ``lists.steps``."""

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
    devices : PerUser or None
        The student's quality as the devices told it, for protocols whose clients keep students of their own.
    adjustment : Adjustment
        The steps between the student's scores and its lists.
    """

    lists: Mapping[str, Lists]
    together: Federation
    summary: Mapping[str, Any]
    devices: PerUser | None
    adjustment: Adjustment

    def as_served(self) -> "Measured":
        """Return the same of the student's lists as people see them, after the steps of ``lists.steps``."""
        if LISTED not in self.lists:
            return self
        return self.with_lists(self.lists[LISTED], self.summary["models"][LISTED])

    def per_user(self, model: str, metric: str, part: str) -> NDArray[np.float64] | None:
        """Return a metric of every private user with a target in a slice, see `fedkd.gate.judgement.Evidence`."""
        found = self._slice(self.lists[model], part) if model in self.lists else None
        if model == STUDENT and found is None:
            found = self._of_devices(part)
        return None if found is None else found.column(metric)

    def fact(self, model: str, quantity: str) -> float | None:
        """Return a number of the summary; epsilon is infinite where nothing is protected."""
        if quantity == EPSILON:
            spent = self.summary["privacy"].get("epsilon")
            return math.inf if spent is None else float(spent)
        found: Any = self.summary["models"].get(model, {})
        for name in FACTS[quantity]:
            found = found.get(name) if isinstance(found, Mapping) else None
        return None if found is None else float(found)

    def with_student(self, row: Mapping[str, Any]) -> "Measured":
        """Return the same with other numbers of the student."""
        models = self.summary["models"]
        return replace(self, summary={**self.summary, "models": {**models, STUDENT: {**models[STUDENT], **row}}})

    def of_program(self, program: ExportedModel, row: Mapping[str, Any]) -> "Measured":
        """Return the same of an exported program, which recommends to everybody first, in the student's place."""
        scorer = self.adjustment.of(lambda histories, _: program.score(histories))
        return self.with_lists(recommend(scorer, self.together.fold, self.together.private), row)

    def with_lists(self, own: Lists, row: Mapping[str, Any]) -> "Measured":
        """Return the same with other lists and numbers of the student."""
        lists = {**self.lists, STUDENT: own}
        seen = beyond_accuracy(own, self.together.fold.train) | agreed(lists)
        return replace(self.with_student({**row, **seen}), lists=lists)

    def _of_devices(self, part: str) -> PerUser | None:
        """Return what devices told of the users in a slice; None where some were silent, or told less than it needs."""
        fold, private = self.together.fold, self.together.private
        users = private[fold.target.histories.lengths[private] > 0]
        if self.devices is None or len(self.devices.users) != len(users) or part.endswith(" items"):
            return None
        everyone = PerUser(users, self.devices.values)
        return history_slices(everyone, fold).get(part, NOBODY) if part else everyone

    def _slice(self, lists: Lists, part: str) -> PerUser:
        fold = self.together.fold
        if part.removesuffix(" items") in POPULARITY:
            return measure_lists(lists, popularity_targets(fold)[part])
        everyone = measure_lists(lists, fold.target)
        return history_slices(everyone, fold).get(part, NOBODY) if part else everyone


@dataclass(frozen=True)
class Judgement:
    """A gate's judgement of a student.

    Attributes
    ----------
    checks : tuple of Check
        The judgement of every requirement.
    confidence : float
        Of the bounds.
    bytes : float or None
        Bytes of the student.
    compression : str
        What made it smaller; empty for the student as it was trained.
    """

    checks: tuple[Check, ...]
    confidence: float
    bytes: float | None
    compression: str = ""

    @classmethod
    def of(cls, config: Config, measured: Measured, compression: str = "", among: int = 1) -> "Judgement":
        """Judge a student, so sure that the best of several does not pass by luck (Bonferroni)."""
        confidence = 1 - (1 - config.gate.confidence) / among
        checks = tuple(judge(config.gate.read, measured, confidence))
        return cls(checks, confidence, measured.fact(STUDENT, "bytes"), compression)

    @property
    def decision(self) -> Decision:
        """The decision about all requirements."""
        return decision(self.checks)

    @property
    def costs(self) -> list[Check]:
        """The requirements that a smaller student may meet."""
        return [check for check in self.checks if check.requirement.quantity in MENDED]

    @property
    def too_costly(self) -> bool:
        """Whether a smaller student is needed."""
        return any(check.decision is Decision.NOT_MET for check in self.costs)

    @property
    def margin(self) -> float:
        """The distance of the student from its worst requirement, positive inside it."""
        return min(check.margin for check in self.checks)

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """The order of judgements, the best last; of those that are met, quality counts and not smallness."""
        quality = min((check.margin for check in self.checks if check not in self.costs), default=0.0)
        met = self.decision is Decision.MET
        return met, self.decision is Decision.UNDECIDED, quality if met else self.margin

    def told(self, given: float) -> dict[str, Any]:
        """Return the judgement as ``summary.json`` holds it, beside the confidence that was asked for."""
        return {
            "decision": str(self.decision),
            "part": VALIDATION,
            "confidence": given,
            "compression": self.compression,
            "checks": list(map(described, self.checks)),
        }

    def brief(self) -> dict[str, Any]:
        """Return the judgement in a few words."""
        return {"compression": self.compression, "bytes": self.bytes, "decision": str(self.decision)} | _finite(
            {"margin": self.margin}
        )


def judged(config: Config, measured: Measured, student: Recommender | None) -> dict[str, Any]:
    """Return the summary's part about the gate.

    A student that is too large, or too slow, is judged as the steps of ``gate.compression`` leave it.

    Parameters
    ----------
    config : Config
        The run.
    measured : Measured
        What was measured.
    student : Recommender or None
        The student as it was trained, if there is one for everybody.
    """
    whole = Judgement.of(config, measured)
    found = _smaller(config, measured, student) if student is not None and whole.too_costly else []
    best = max([whole, *found], key=lambda each: each.rank)
    tried = [each.brief() for each in (whole, *found)] if found else []
    return best.told(config.gate.confidence) | {"tried": tried}


def _smaller(config: Config, measured: Measured, student: Recommender) -> list[Judgement]:
    """Return the judgement of everything that makes a student small enough, or else of what comes nearest to it."""
    made = list(smaller(config, student, typical_history(measured.together), measured.adjustment))
    costs = [Judgement.of(config, measured.with_student(each.row())) for each in made]
    fitting = [each for each, cost in zip(made, costs, strict=True) if not cost.too_costly]
    if made and not fitting:
        nearest = max(range(len(made)), key=lambda place: min(check.margin for check in costs[place].costs))
        fitting = [made[nearest]]
    return [
        Judgement.of(config, measured.of_program(each.program, each.row()), each.compression, len(fitting))
        for each in fitting
    ]


def described(check: Check) -> dict[str, Any]:
    """Return a check as ``summary.json`` holds it; what is not finite is absent."""
    return {
        "requirement": check.requirement.text,
        "decision": str(check.decision),
        **_finite({name: getattr(check, name) for name in ("value", "bound", "low", "high", "margin", "hope")}),
        "users": check.users,
        "more-users": check.more_users,
        "sentence": check.sentence(),
    }


def _finite(numbers: Mapping[str, float | None]) -> dict[str, float]:
    return {name: number for name, number in numbers.items() if number is not None and math.isfinite(number)}


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
