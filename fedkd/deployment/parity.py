"""Parity of an export with its torch model: scores, and lists and quality where the run's data are at hand."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.deployment.scorers import ExportedModel
from fedkd.errors import UserError
from fedkd.evaluation.beyond import agreement
from fedkd.evaluation.evaluator import Lists, measure_lists, model_scores, recommend
from fedkd.models.base import Recommender, score
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from fedkd.runs.config import Config
from fedkd.runs.federation import Federation, federation

METRIC = "ndcg@20"
SAMPLE = 256
"""Histories whose scores are compared."""

LONGEST = 200
"""Items of the longest sampled history."""

TOLERANCE = 1e-4
"""Largest difference of scores between two programs of the same numbers, in units of the largest score."""


@dataclass(frozen=True)
class Parity:
    """The differences between an export and its torch model.

    Attributes
    ----------
    histories : int
        Histories whose scores were compared.
    real : bool
        Whether they are those of the run's users; sampled ones otherwise.
    program : float
        Largest difference between the exported program and the torch model of the same numbers.
    compression : float
        Largest difference between that model and the student before it was made smaller.
    largest_score : float
        The largest absolute score, to compare these with.
    agreement : float, optional
        Mean share of a user's first ten items that exported model and student have in common.
    lost : float, optional
        Share of the student's NDCG@20 that the exported model loses; negative for a gain.
    without : str
        Why there is no list to compare; empty where there is.
    """

    histories: int
    real: bool
    program: float
    compression: float
    largest_score: float
    agreement: float | None = None
    lost: float | None = None
    without: str = ""

    def told(self) -> dict[str, Any]:
        """Return it for the manifest."""
        return asdict(self)


def parity(student: Recommender, small: Recommender, exported: ExportedModel, config: Config) -> Parity:
    """Compare an exported model with the student that it comes from.

    Parameters
    ----------
    student, small : Recommender
        The student, and what compression made of it; the same where there is none.
    exported : ExportedModel
        The exported program, as it is read again.
    config : Config
        The run, whose data are read if they are at hand.

    Raises
    ------
    UserError
        The exported program computes something else than the model.
    """
    together, reason = data_at_hand(config)
    histories = sampled(student.num_items, config.seed) if together is None else of_users(together)
    scores, before, after = (score(student, histories), score(small, histories), exported.score(histories))
    largest = float(np.abs(scores).max(initial=0.0))
    program = _difference(before, after)
    if not program <= TOLERANCE * max(largest, 1e-6):
        raise UserError(
            f"the exported program's scores differ from the model's by up to {program:.3g}, of {largest:.3g}; this is "
            "a fault of the exporter for this model, so nothing was written: --format safetensors takes every student"
        )
    found = Parity(len(histories), together is not None, program, _difference(scores, before), largest, without=reason)
    return found if together is None else _with_lists(found, student, exported, together)


def data_at_hand(config: Config) -> tuple[Federation | None, str]:
    """Return the data of a simulated run if they are there, or why not."""
    if config.runtime.server_data is not None:
        return None, "a real server does not have its clients' histories"
    try:
        return federation(config), ""
    except (UserError, OSError) as error:
        return None, f"the run's data cannot be read here ({type(error).__name__})"


def of_users(together: Federation) -> Ragged:
    """Return the histories of some private users, spread over all of them."""
    users = together.private[:: max(1, len(together.private) // SAMPLE)][:SAMPLE]
    return together.fold.history.histories.take(users)


def sampled(items: int, seed: int) -> Ragged:
    """Return random histories, the first of them empty and others of the whole range of lengths."""
    rng = stream(seed, "export")
    lengths = np.linspace(0, min(items, LONGEST), SAMPLE).astype(int)
    return Ragged.from_rows([rng.choice(items, length, replace=False) for length in lengths], np.int64)


def _with_lists(found: Parity, student: Recommender, exported: ExportedModel, together: Federation) -> Parity:
    users = together.private
    ours = recommend(lambda histories, _: exported.score(histories), together.fold, users)
    theirs = recommend(model_scores(student), together.fold, users)
    ndcg = {name: _mean(lists, together) for name, lists in (("ours", ours), ("theirs", theirs))}
    lost = 1 - ndcg["ours"] / ndcg["theirs"] if ndcg["theirs"] else None
    return Parity(**{**asdict(found), "agreement": agreement(ours, theirs), "lost": lost})


def _mean(lists: Lists, together: Federation) -> float:
    return measure_lists(lists, together.fold.target).means()[METRIC]


def _difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one - other).max(initial=0.0))
