"""The search for settings whose student passes the gate: trials, their margins, and when to stop."""

import json
import multiprocessing
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from fedkd.cli.terminal import say
from fedkd.errors import UserError
from fedkd.gate.requirements import Requirement
from fedkd.gate.search import Choices, Dimension, dimension, dimensions
from fedkd.protocols.base import GlobalStudent
from fedkd.runs.config import Config, changed
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from server.run_writer import model_size
from simulations.gate import validation_run
from simulations.run import run

STUDY = "tuning"
WORST = -10.0
"""The margin of a student that has none, because it could not be made or measured."""

PATIENCE = 10
"""Trials before a search may say that no setting passes."""


@dataclass(frozen=True)
class Search:
    """A search for settings that pass a gate.

    Attributes
    ----------
    config : Config
        The configuration, whose other settings stay.
    space : tuple of Dimension
        The settings to search.
    trials : int
        The most trials.
    deadline : float
        Seconds since 1970 after which no trial begins.
    folder : Path
        Holds the study and a folder for every trial.
    """

    config: Config
    space: tuple[Dimension, ...]
    trials: int
    deadline: float
    folder: Path

    @property
    def confidence(self) -> float:
        """The confidence of every trial: the best of many must not pass by luck (Bonferroni)."""
        return 1 - (1 - self.config.gate.confidence) / self.trials

    def study(self) -> optuna.Study:
        """Return the study, which several processes may share and a later search continues."""
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        storage = JournalStorage(JournalFileBackend(str(self.folder / "study.journal")))
        sampler = optuna.samplers.TPESampler(seed=self.config.seed, n_startup_trials=PATIENCE, multivariate=True)
        return optuna.create_study(
            study_name=STUDY, storage=storage, sampler=sampler, direction="maximize", load_if_exists=True
        )

    def at(self, trial: Trial) -> Config:
        """Return the configuration of a trial, judged at its confidence."""
        gate = [f"gate.confidence={self.confidence!r}"]
        pairs = [f"{each.key}={json.dumps(_suggested(trial, each))}" for each in self.space]
        return validation_run(changed(self.config, [*gate, *pairs]), self.folder / f"trial-{trial.number}")


def _suggested(trial: Trial, wanted: Dimension) -> Any:
    if isinstance(wanted, Choices):
        return trial.suggest_categorical(wanted.key, wanted.values)
    if wanted.whole:
        return trial.suggest_int(wanted.key, int(wanted.low), int(wanted.high), log=wanted.log)
    return trial.suggest_float(wanted.key, wanted.low, wanted.high, log=wanted.log)


def space(config: Config) -> tuple[Dimension, ...]:
    """Return the settings to search: those that the configuration names, or all of its protocol."""
    named = tuple(map(dimension, config.gate.search))
    return named or tuple(dimensions(config.algorithm, "algorithm"))


def work(search: Search) -> None:
    """Make trials until one passes, none can, or the time is over; several processes may do so at once."""
    study = search.study()
    while verdict(search, study.trials) is None:
        study.optimize(lambda trial: margin(search, trial), n_trials=1, callbacks=[_told])


def _told(study: optuna.Study, trial: FrozenTrial) -> None:
    """Say how a trial ended, and the best so far."""
    how = trial.user_attrs.get("why") or trial.user_attrs["decision"]
    say(f"trial {trial.number}: margin {trial.value:+.4f}, best {study.best_value:+.4f} ({how})")


def margin(search: Search, trial: Trial) -> float:
    """Return how far a trial's student is inside its worst requirement; below 0 it does not pass."""
    try:
        config = search.at(trial)
        if excess := too_large(config):
            trial.set_user_attr("why", "its size alone fails, so it was not trained")
            return max(WORST, excess)
        folder = RunFolder(search.folder / f"trial-{trial.number}")
        summary = run(config, folder)
    except UserError as error:
        trial.set_user_attr("why", str(error))
        return WORST
    folder.forget_models()
    gate = summary["gate"]
    if unknown := [check["requirement"] for check in gate["checks"] if check.get("value") is None]:
        raise UserError(f"the gate asks for what this run does not measure: {'; '.join(unknown)}")
    for name in ("decision", "checks"):
        trial.set_user_attr(name, gate[name])
    return max(WORST, min(float(check["margin"]) for check in gate["checks"]))


def too_large(config: Config) -> float:
    """Return the margin of a student whose size alone fails the gate, before it is trained; 0 where it does not."""
    if not isinstance(config.algorithm, GlobalStudent):
        return 0.0
    student = config.algorithm.blank_student(federation(config).fold.train.catalogue)
    size = model_size(student, deployed=True)
    return min((_missing(each, size) for each in config.gate.read), default=0.0)


def _missing(wanted: Requirement, size: Mapping[str, Any]) -> float:
    if wanted.of or wanted.at_least or wanted.quantity not in size:
        return 0.0
    return min(0.0, (wanted.number - float(size[wanted.quantity])) / max(1.0, abs(wanted.number)))


def verdict(search: Search, trials: list[FrozenTrial]) -> str | None:
    """Return how a search ends, ``found``, ``impossible``, ``trials`` or ``time``; None while it goes on."""
    done = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if passing(done):
        return "found"
    if hopeless(done, search.trials):
        return "impossible"
    if len(done) >= search.trials:
        return "trials"
    return "time" if time.time() >= search.deadline else None


def passing(done: list[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that passed, the best first."""
    met = [trial for trial in done if trial.user_attrs.get("decision") == "met"]
    return sorted(met, key=lambda trial: -(trial.value or 0.0))


def hopeless(done: list[FrozenTrial], planned: int) -> bool:
    """Return whether no setting passes, as far as the search can tell.

    The *hope* of a trial is how far its student would be inside the worst requirement if luck with the users explained
    as much as it can. The search gives up where the best hope is below 0, and would stay so if it rose in all trials
    that are left as fast as it did in the second half of those made.
    """
    if len(done) < PATIENCE:
        return False
    hopes = [_hope(trial) for trial in done]
    before, now = max(hopes[: len(hopes) // 2]), max(hopes)
    pace = (now - before) / (len(hopes) - len(hopes) // 2)
    return now + pace * max(0, planned - len(hopes)) < 0


def _hope(trial: FrozenTrial) -> float:
    checks = trial.user_attrs.get("checks")
    return min(check["hope"] for check in checks) if checks else float(trial.value or WORST)


def frontier(done: list[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials to which no other is better in one requirement and no worse in the rest, the best first."""
    measured = [trial for trial in done if "checks" in trial.user_attrs]
    margins = {trial.number: [check["margin"] for check in trial.user_attrs["checks"]] for trial in measured}

    def beaten(trial: FrozenTrial) -> bool:
        own = margins[trial.number]
        return any(
            other != own and all(theirs >= ours for theirs, ours in zip(other, own, strict=True))
            for other in margins.values()
        )

    return sorted((t for t in measured if not beaten(t)), key=lambda trial: -(trial.value or 0.0))


def tune(search: Search, workers: int) -> str:
    """Run the search in one or more processes, and return its verdict."""
    search.folder.mkdir(parents=True, exist_ok=True)
    study = search.study()
    others = [multiprocessing.get_context("spawn").Process(target=work, args=(search,)) for _ in range(workers - 1)]
    for process in others:
        process.start()
    try:
        work(search)
    finally:
        for process in others:
            process.terminate()
            process.join()
    found = verdict(search, study.trials)
    assert found is not None
    return found
