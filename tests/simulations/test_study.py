"""The study of a search: the same after it was stopped, shared by processes, and shorter where trials are hopeless."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from fedkd.errors import UserError
from simulations.study import abandon, alone, begin, opened
from simulations.verdicts import ended, verdict


class Killed(BaseException):
    pass


def quality(trial: optuna.Trial) -> float:
    one = trial.suggest_float("one", 0.1, 10.0, log=True)
    return -abs(one - 3) - abs(trial.suggest_int("other", 1, 50) - 20) / 50


def tried(folder: Path, trials: int, killed_at: int = -1) -> list[dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    study = opened(folder, seed=3)
    begin(study, folder, {"what": 1})

    def made(trial: optuna.Trial) -> float:
        found = quality(trial)
        if trial.number == killed_at:
            raise Killed
        return found

    while len(ended(study.trials)) < trials:
        study.optimize(made, n_trials=1)
    return [trial.params for trial in ended(study.trials)]


def test_a_search_that_was_killed_tries_the_same_settings_as_one_that_was_not(tmp_path: Path) -> None:
    whole = tried(tmp_path / "whole", 13)
    for place in (2, 12):  # while settings are drawn at random, and while the sampler learns
        with pytest.raises(Killed):
            tried(tmp_path / f"cut-{place}", 13, killed_at=place)
        assert tried(tmp_path / f"cut-{place}", 13) == whole
    assert len({tuple(each.values()) for each in whole}) == 13


def test_processes_at_work_together_try_different_settings(tmp_path: Path) -> None:
    one, other = opened(tmp_path, 3), opened(tmp_path, 3)
    trials = [one.ask(), other.ask(), one.ask()]
    assert len({trial.suggest_float("one", 0.1, 10.0) for trial in trials}) == 3
    (tmp_path / "trial-0").mkdir()
    abandon(one, tmp_path)
    assert not ended(other.trials)
    assert not (tmp_path / "trial-0").exists()


def test_a_folder_belongs_to_one_search_at_a_time(tmp_path: Path) -> None:
    begin(opened(tmp_path, 0), tmp_path, {"gate": {"confidence": 0.95}, "seed": 0})
    with pytest.raises(UserError, match="its gate differ from what is asked for"):
        begin(opened(tmp_path, 0), tmp_path, {"gate": {"confidence": 0.9}, "seed": 0})
    with alone(tmp_path), pytest.raises(UserError, match="another search is at work"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_a_trial_that_is_worse_than_half_of_the_others_after_a_round_is_stopped(tmp_path: Path) -> None:
    study = opened(tmp_path, 0)

    def rounds(trial: optuna.Trial) -> float:
        for number in range(1, 4):
            trial.report(-float(trial.number), number)
            if trial.should_prune():
                raise optuna.TrialPruned
        return -float(trial.number)

    study.optimize(rounds, n_trials=10)
    assert [trial.last_step for trial in study.trials] == [3] * 5 + [1] * 5
    assert verdict(study.trials, 10, deadline=float("inf")) in ("trials", "impossible")
