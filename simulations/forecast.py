"""What a privacy budget will probably cost in quality, foretold on made-up data of the same size.

As many users, items and interactions as the run will have are made up, and the run is rehearsed on them: without the
clients' data, under the budget, and without noise. No private data is touched, so it costs no budget. What can be
foretold is the share of the clients' contribution that survives the noise, since noise depends on sizes alone; how much
clients contribute depends on the data.
"""

from dataclasses import dataclass

import numpy as np

from fedkd.config import Config, dump, validate
from fedkd.errors import UserError
from fedkd.evaluation.evaluator import evaluate, model_scores
from fedkd.federation import Federation, federation
from fedkd.models.base import Recommender
from simulations.baselines import unanswered
from simulations.rehearsal import Rehearsal

METRIC = "ndcg@20"


@dataclass(frozen=True)
class Forecast:
    """NDCG@20 of the student on made-up private users.

    Attributes
    ----------
    alone : float
        Of what the public users teach alone.
    planned : float
        With the clients' answers under the run's noise.
    unprotected : float
        With their answers, without noise.
    """

    alone: float
    planned: float
    unprotected: float

    @property
    def kept(self) -> float:
        """Share of what the clients' data adds that is left under the noise; 0 where it adds nothing."""
        added = self.unprotected - self.alone
        return float(np.clip((self.planned - self.alone) / added, 0.0, 1.0)) if added > 0 else 0.0

    def line(self) -> str:
        """Return it as a sentence."""
        return (
            f"quality, on made-up data of this size: {self.kept:.0%} of what the clients' data adds is left under this "
            f"budget (student {METRIC} {self.alone:.3f} from public users alone, {self.planned:.3f} under the budget, "
            f"{self.unprotected:.3f} without noise)"
        )


def forecast(config: Config, together: Federation) -> Forecast:
    """Rehearse a run on made-up data of the size of its own.

    Raises
    ------
    UserError
        Nothing is protected, so there is nothing to foretell, or clients keep their students to themselves.
    """
    if config.privacy.mode == "none":
        raise UserError("in mode none no noise costs any quality; set privacy.mode, privacy.epsilon and privacy.delta")
    protected = made_up(config, together)
    clear = protected.model_copy(update={"privacy": Config().privacy})
    models = (unanswered(protected, federation(protected)), _rehearsed(protected), _rehearsed(clear))
    return Forecast(*(_quality(model, federation(protected)) for model in models))


def made_up(config: Config, together: Federation) -> Config:
    """Return a configuration on made-up data with as many users and items, and histories as long, as the public's."""
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


def _rehearsed(config: Config) -> Recommender | None:
    together = federation(config)
    return Rehearsal(config, together, np.arange(together.partition.num_clients)).model()


def _quality(student: Recommender | None, together: Federation) -> float:
    if student is None:
        raise UserError("clients of this protocol keep their students to themselves, so nothing can be foretold")
    return evaluate(model_scores(student), together.fold, together.private).means()[METRIC]
