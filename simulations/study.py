"""The study of a search: several processes share it, and one that was stopped goes on as if it had not been."""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from fedkd.errors import UserError
from fedkd.random_streams import stream

STUDY = "tuning"
WHAT = "what"
"""Attribute of a study that says what is searched."""

PATIENCE = 10
"""Trials before the sampler learns from them, and before a search may say that no setting passes."""


class NumberedSampler(optuna.samplers.BaseSampler):
    """The tree-structured Parzen estimator, with random numbers that belong to the trial.

    A sampler with a state of its own begins again in every process: parallel ones would try the same settings, and so
    would a search that goes on.

    Parameters
    ----------
    seed : int
        The seed of all trials.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._own = optuna.samplers.TPESampler()

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Begin the random numbers of a trial: those of its place among the trials that were not given up."""
        place = sum(_counts(other) for other in study.get_trials(deepcopy=False) if other.number < trial.number)
        seed = int(stream(self.seed, "tune", place).integers(2**31))
        self._own = optuna.samplers.TPESampler(seed=seed, n_startup_trials=PATIENCE, multivariate=True)
        self._own.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the settings that are drawn together."""
        return self._own.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw settings together."""
        return self._own.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw a setting by itself."""
        return self._own.sample_independent(study, trial, param_name, param_distribution)


def _counts(trial: FrozenTrial) -> bool:
    return trial.state is not TrialState.FAIL


def opened(folder: Path, seed: int) -> optuna.Study:
    """Return the study in a folder.

    A trial whose student is, after some round, worse than half of the others were there is stopped.
    """
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    return optuna.create_study(
        study_name=STUDY,
        storage=JournalStorage(JournalFileBackend(str(folder / "study.journal"))),
        sampler=NumberedSampler(seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=PATIENCE // 2, n_warmup_steps=1),
        direction="maximize",
        load_if_exists=True,
    )


def trial_folder(folder: Path, number: int) -> Path:
    """Return the folder of a trial."""
    return folder / f"trial-{number}"


def begin(study: optuna.Study, folder: Path, what: dict[str, Any]) -> None:
    """Begin a search, or go on with the one in a folder: trials that were killed are given up, to be made again.

    Raises
    ------
    UserError
        The folder holds a search for something else.
    """
    told = json.loads(json.dumps(what))
    before = study.user_attrs.get(WHAT, told)
    if wrong := [key for key in told if before.get(key) != told[key]]:
        raise UserError(
            f"{folder} holds another search: its {', '.join(wrong)} differ from what is asked for; choose another --out"
        )
    study.set_user_attr(WHAT, told)
    abandon(study, folder)


def abandon(study: optuna.Study, folder: Path) -> None:
    """Give up the trials that nobody works on any more."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        shutil.rmtree(trial_folder(folder, trial.number), ignore_errors=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other searches out of a folder, whose killed trials can then be told from those at work.

    Raises
    ------
    UserError
        Another search is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"another search is at work in {folder}; wait for it, or give it more processes with --workers"
            ) from None
        yield
