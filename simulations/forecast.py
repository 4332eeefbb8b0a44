"""A forecast of the quality under a privacy budget, from synthetic data of the same size.

The synthetic data has as many users, items and interactions as the run. The run is simulated on it three times: without
the clients' data, under the budget, and without noise. No private data is used, so the forecast costs no budget. It
predicts the share of the clients' contribution that remains under the noise, because noise depends only on sizes. The
amount that clients contribute depends on the data.
"""

from dataclasses import dataclass

import numpy as np

from fedkd.errors import UserError
from fedkd.evaluation.evaluator import evaluate, model_scores
from fedkd.models.base import Recommender
from fedkd.runs.config import Config, dump, validate
from fedkd.runs.dry_simulation import DrySimulation
from fedkd.runs.federation import Federation, federation
from simulations.baselines import unanswered

METRIC = "ndcg@20"

LEAST = 0.005
"""Smallest gain from clients' data, in the metric, of which a share can be predicted."""


@dataclass(frozen=True)
class Forecast:
    """NDCG@20 of the student on synthetic private users.

    Attributes
    ----------
    alone : float
        From the public users alone.
    planned : float
        With the clients' answers under the run's noise.
    unprotected : float
        With their answers, without noise.
    budget : str
        The budget of the run, with all its conditions.
    """

    alone: float
    planned: float
    unprotected: float
    budget: str

    @property
    def kept(self) -> float:
        """Share of the gain from clients' data that remains under the noise; 0 where there is no gain."""
        added = self.unprotected - self.alone
        return float(np.clip((self.planned - self.alone) / added, 0.0, 1.0)) if added > 0 else 0.0

    def line(self) -> str:
        """Return the forecast as a sentence."""
        if self.unprotected - self.alone < LEAST:
            found = f"clients' data adds less than {LEAST:g} even without noise, too little to predict a share of it"
        else:
            found = f"{self.kept:.0%} of what the clients' data adds is left under this budget"
        return (
            f"quality, on synthetic data of this size: {found} (student {METRIC} {self.alone:.3f} from public users "
            f"alone, {self.planned:.3f} under the budget, {self.unprotected:.3f} without noise). "
            f"The budget: {self.budget}."
        )


def forecast(config: Config, together: Federation) -> Forecast:
    """Simulate a run on synthetic data of the same size.

    Raises
    ------
    UserError
        Nothing is noised, so there is nothing to predict, or clients keep their students to themselves.
    """
    if not (budget := _budget(config)):
        raise UserError(
            "neither answers nor students are noised, so no noise costs any quality; set privacy.mode, privacy.epsilon "
            "and privacy.delta, or, where students are trained by steps of sgd, privacy.student.epsilon"
        )
    protected = synthetic_config(config, together)
    clear = protected.model_copy(update={"privacy": Config().privacy})
    models = (unanswered(protected), _simulated(protected), _simulated(clear))
    alone, planned, unprotected = (_quality(model, federation(protected)) for model in models)
    return Forecast(alone, planned, unprotected, budget)


def _budget(config: Config) -> str:
    """Return every budget of a run with its conditions; empty without any."""
    options, students, parts = config.privacy, config.privacy.student, list[str]()
    if options.mechanism.active:
        parts.append(f"mode {options.mode}, epsilon {options.budget[0]:g}, {options.conditions_text}")
    if students.epsilon is not None:
        conditions = f"one {students.unit}, {students.adjacency}, secret Poisson sampling"
        parts.append(f"students under DP-SGD, epsilon {students.epsilon:g}, delta {students.delta:g}, {conditions}")
    return "; ".join(parts)


def synthetic_config(config: Config, together: Federation) -> Config:
    """Return a configuration on synthetic data with as many users and items, and histories as long as the public's."""
    public = together.fold.history.take(together.partition.public)
    trained = 1 - config.split.test_fraction if config.split.kind == "ratio" else 1.0
    mean = len(public) / max(1, public.num_users) / trained
    tree = dump(config)
    sizes = {
        "users": len(together.private) + len(together.partition.public),
        "items": together.fold.train.num_items,
        "mean-history": max(2.0, float(mean)),
        "seed": config.seed,
    }
    return validate({**tree, "data": {"source": "synthetic", "synthetic": sizes}})


def _simulated(config: Config) -> Recommender | None:
    together = federation(config)
    return DrySimulation(config, together, np.arange(together.partition.num_clients)).model()


def _quality(student: Recommender | None, together: Federation) -> float:
    if student is None:
        raise UserError("clients of this protocol keep their students to themselves, so nothing can be predicted")
    return evaluate(model_scores(student), together.fold, together.private).means()[METRIC]
