"""A trial whose student is worse than others on its way is stopped there, while it is distilled too."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from fedkd.protocols.residual import Residual
from fedkd.runs.config import load
from simulations.pruning import ACCURACY, OnItsWay
from simulations.search import Search, margin
from simulations.study import opened
from tests.simulations.test_run import SMALL

NETWORK = (
    "partition.public-fraction=0.4",
    "algorithm.references=0",
    "algorithm.panel=0",
    "algorithm.model.family=linear",
    "algorithm.model.width=4",
    "algorithm.distillation.samples=20",
    "algorithm.distillation.steps=150",
    "algorithm.distillation.batch-size=4",
    "algorithm.distillation.patience=5",
    'gate.requirements=["ndcg@20 >= 0.2 of public-only student"]',
)


def told(study: optuna.Study, qualities: dict[int, float]) -> None:
    """Make the trials from which the study knows what is usual."""
    for _ in range(5):
        trial = study.ask()
        for step, quality in qualities.items():
            trial.report(quality, step)
        study.tell(trial, 0.0)


@pytest.mark.parametrize(("usual", "looks"), [({50: 0.0, 100: 1.0, 150: 1.0}, [50, 100]), ({50: 0.0}, [50, 100, 150])])
def test_a_student_is_stopped_while_it_is_distilled(tmp_path: Path, usual: dict[int, float], looks: list[int]) -> None:
    search = Search(load(None, [*SMALL, *NETWORK]), (), 10, float("inf"), tmp_path)
    study = search.study()
    told(study, usual)
    study.optimize(lambda trial: margin(search, trial), n_trials=1)
    last = study.trials[-1]
    assert sorted(last.intermediate_values) == looks  # and nothing of the students that are made for comparison
    stopped = len(looks) < 3
    assert last.state is (TrialState.PRUNED if stopped else TrialState.COMPLETE)
    said = "stopped after about 100 steps of the distillation, worse than half of the others there"
    assert last.user_attrs.get("why") == (said if stopped else None)


def test_rounds_are_told_where_there_are_several_and_looks_where_there_is_one(tmp_path: Path) -> None:
    study = opened(tmp_path, 0)
    student: Any = None
    for rounds, steps in ((3, [1, 2]), (1, [50])):
        trial = study.ask()
        way = OnItsWay(trial, load(None, [f"num-server-rounds={rounds}"]))
        way.look(student, 0.5)
        for number in range(1, rounds + 1):
            way.round({"round": number, "metrics": {ACCURACY: 0.1}}, None)
            way.look(student, 0.5)
        assert sorted(study.trials[-1].intermediate_values) == steps
    assert Residual().distillation.patience == 0  # nobody is held out, and nothing is looked at, unless asked for
