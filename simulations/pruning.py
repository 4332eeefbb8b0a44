"""Trials are watched on their way, and stopped where half of the others were better at the same point."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import Trial

from fedkd.distillation.server_student import LOOK
from fedkd.evaluation.evaluator import PerUser
from fedkd.evaluation.metrics import PRIMARY
from fedkd.models.base import Recommender
from fedkd.runs.config import Config

ACCURACY = f"student.{PRIMARY}"
"""The metric of a round by which a trial may be stopped."""


class OnItsWay:
    """Tells the study how good a trial's student is on its way.

    In a run of several rounds these are the rounds, by the users whom the run measures. In a run of one round they are
    the looks at the student while it is distilled, by the public users whom early stopping holds out.

    Parameters
    ----------
    trial : Trial
        The trial.
    config : Config
        Its run.
    """

    def __init__(self, trial: Trial, config: Config) -> None:
        self.trial, self.rounds = trial, config.num_server_rounds
        self.looks, self.over = 0, self.rounds > 1

    def round(self, record: Mapping[str, Any], quality: PerUser | None) -> None:
        """Tell of a round; the last one ends what can be stopped."""
        del quality
        self.over = True  # what is distilled from now on is a student for comparison
        if ACCURACY in record["metrics"] and record["round"] < self.rounds:
            self._told(record["metrics"][ACCURACY], record["round"], f"round {record['round']}")

    def look(self, student: Recommender, quality: float) -> None:
        """Tell of a look at the student."""
        del student
        if not self.over:
            self.looks += 1
            self._told(quality, LOOK * self.looks, f"about {LOOK * self.looks} steps of the distillation")

    def _told(self, quality: float, step: int, place: str) -> None:
        self.trial.report(quality, step)
        if self.trial.should_prune():
            self.trial.set_user_attr("why", f"stopped after {place}, worse than half of the others there")
            raise optuna.TrialPruned
