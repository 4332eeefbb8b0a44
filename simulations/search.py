"""The search for settings whose student passes the gate: what is tried, and how a trial is made."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from fedkd.cli.terminal import say
from fedkd.distillation.server_student import looked_at_by
from fedkd.errors import UserError
from fedkd.gate.requirements import Requirement
from fedkd.gate.search import Choices, Dimension, dimension, dimensions
from fedkd.options import DataSize
from fedkd.protocols.base import GlobalStudent
from fedkd.runs.config import Config, changed, dump
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from server.run_writer import model_size
from simulations.compressing import smallest_bytes
from simulations.gate import validation_run
from simulations.pruning import OnItsWay
from simulations.run import run
from simulations.study import abandon, alone, begin, opened, trial_folder
from simulations.verdicts import WORST, verdict
from simulations.workers import end_with_parent, helpers


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
        return opened(self.folder, self.config.seed)

    def verdict(self, study: optuna.Study) -> str | None:
        """Return how the search ends, None while it goes on."""
        return verdict(study.trials, self.trials, self.deadline)

    def what(self) -> dict[str, Any]:
        """Return what is searched, by which a folder knows its search again."""
        tree = {key: part for key, part in dump(self.config).items() if key != "runtime"}
        return tree | {"--trials": self.trials}

    def at(self, trial: Trial) -> Config:
        """Return the configuration of a trial, judged at its confidence."""
        gate = [f"gate.confidence={self.confidence!r}"]
        pairs = [f"{each.key}={json.dumps(_suggested(trial, each))}" for each in self.space]
        return validation_run(changed(self.config, [*gate, *pairs]), trial_folder(self.folder, trial.number))


def _suggested(trial: Trial, wanted: Dimension) -> Any:
    if isinstance(wanted, Choices):
        return trial.suggest_categorical(wanted.key, wanted.values)
    if wanted.whole:
        return trial.suggest_int(wanted.key, int(wanted.low), int(wanted.high), step=wanted.step, log=wanted.log)
    return trial.suggest_float(wanted.key, wanted.low, wanted.high, log=wanted.log)


def space(config: Config) -> tuple[Dimension, ...]:
    """Return the settings to search: those that the configuration names, or all of its protocol that suit its data."""
    if named := tuple(map(dimension, config.gate.search)):
        return named
    together = federation(config)
    size = DataSize(together.fold.train.num_items, len(together.partition.public))
    return tuple(dimensions(config.algorithm, "algorithm", size))


def work(search: Search) -> None:
    """Make trials until one passes, none can, or no more may begin; several processes may do so at once."""
    study = search.study()
    while search.verdict(study) is None and _begun(study) < search.trials:
        study.optimize(lambda trial: margin(search, trial), n_trials=1, callbacks=[_told])


def _assist(search: Search) -> None:
    """Make trials in another process; a mistake is said by the first one, which meets it too."""
    end_with_parent()
    with suppress(UserError):
        work(search)


def _begun(study: optuna.Study) -> int:
    return sum(trial.state is not TrialState.FAIL for trial in study.get_trials(deepcopy=False))


def _told(study: optuna.Study, trial: FrozenTrial) -> None:
    """Say how a trial ended, and the best so far."""
    attributes = trial.user_attrs
    if trial.state is TrialState.PRUNED:
        say(f"trial {trial.number}: {attributes['why']}")
        return
    how = attributes.get("why") or " with ".join(filter(None, (attributes["decision"], attributes["compression"])))
    say(f"trial {trial.number}: margin {trial.value:+.4f}, best {study.best_value:+.4f} ({how})")


def margin(search: Search, trial: Trial) -> float:
    """Return how far a trial's student is inside its worst requirement; below 0 it does not pass."""
    try:
        config = search.at(trial)
        if excess := too_large(config):
            trial.set_user_attr("why", "its size alone fails, so it was not trained")
            return max(WORST, excess)
        folder = RunFolder(trial_folder(search.folder, trial.number))
        way = OnItsWay(trial, config)
        with looked_at_by(way.look):
            summary = run(config, folder, way.round)
    except UserError as error:
        trial.set_user_attr("why", str(error))
        return WORST
    folder.forget_models()
    gate = summary["gate"]
    if unknown := [check["requirement"] for check in gate["checks"] if check.get("value") is None]:
        raise UserError(f"the gate asks for what this run does not measure: {'; '.join(unknown)}")
    for name in ("decision", "checks", "compression"):
        trial.set_user_attr(name, gate[name])
    return max(WORST, min(float(check["margin"]) for check in gate["checks"]))


def too_large(config: Config) -> float:
    """Return the margin of a student whose size alone fails the gate, before it is trained; 0 where it does not."""
    if not isinstance(config.algorithm, GlobalStudent):
        return 0.0
    student = config.algorithm.blank_student(federation(config).fold.train.catalogue)
    size = model_size(student, deployed=True)
    size |= {"bytes": min(size["bytes"], smallest_bytes(config, student))}
    return min((_missing(each, size) for each in config.gate.read), default=0.0)


def _missing(wanted: Requirement, size: Mapping[str, Any]) -> float:
    if wanted.of or wanted.at_least or wanted.quantity not in size:
        return 0.0
    return min(0.0, (wanted.number - float(size[wanted.quantity])) / max(1.0, abs(wanted.number)))


def tune(search: Search, workers: int) -> str:
    """Run the search in one or more processes, and return its verdict."""
    with alone(search.folder):
        study = search.study()
        begin(study, search.folder, search.what())
        while (found := search.verdict(study)) is None:
            _work_together(search, workers)
            abandon(study, search.folder)
    return found


def _work_together(search: Search, workers: int) -> None:
    """Make trials in this process and in others; theirs are cut short where the search has ended."""
    with helpers(workers - 1, _assist, search) as others:
        work(search)
        while search.verdict(search.study()) is None and any(process.is_alive() for process in others):
            for process in others:
                process.join(1.0)
