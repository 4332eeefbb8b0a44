"""The common part of protocols whose student is trained by gradient."""

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fedkd.aggregation.answer_budget import AnswerBudget
from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.distillation.score_directions import affordable, leading_directions
from fedkd.messages.types import Asks, Reference
from fedkd.models.arrays import working_bytes
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import ModelConfig, Recommender, padded_histories
from fedkd.models.table import AnyModel
from fedkd.options import COMPARED
from fedkd.protocols.base import GlobalStudent, Setup, State
from fedkd.protocols.server_optimiser import student_of
from fedkd.random_streams import stream
from fedkd.training.cohort import Cohort
from fedkd.training.hard_labels import train_centrally
from fedkd.training.options import CentralTraining

DIRECTIONS = "directions"
"""Name of the directions among the references along which scores are released, where an answer has a budget."""

TRAINING = {
    "learning-rate": (1.0, 1 / 3, 3.0),
    "epochs": (1.0, 0.25, 0.5, 2.0),
    "visible": (1.0, 0.5, 2.0),
    "weight-decay": (1.0, 0.0, 10.0),
}
"""Settings of a training by which a student is tuned, with factors of their values."""


def tunable_training(table: str) -> dict[str, tuple[float, ...]]:
    """Return the settings to be tuned of the training in a table of a protocol's settings."""
    return {f"{table}.{name}": factors for name, factors in TRAINING.items()}


def within_budget(reference: Reference, setup: Setup) -> Reference:
    """Return a reference whose panel fits the budget of an answer."""
    if setup.answer_budget is None:
        return reference
    size = affordable(setup.answer_budget, len(reference.histories), len(reference.panel))
    return replace(reference, panel=reference.panel[: size.items])


def released_directions(scores: NDArray[Any], budget: AnswerBudget) -> NDArray[np.float32]:
    """Return the directions among the references that are worth asking for.

    Parameters
    ----------
    scores : ndarray, shape [references, panel]
        Scores of the global student that is sent.
    budget : AnswerBudget
        The budget of an answer.
    """
    return leading_directions(scores, affordable(budget, *scores.shape).directions)


def along(asks: Asks, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return scores of shape [..., references, panel] along the directions that were sent, or as they are."""
    return asks.shared[DIRECTIONS] @ scores if DIRECTIONS in asks.shared else scores


def histories_of(model: Recommender, reference: Reference) -> Tensor:
    """Return the references' histories as a model's input."""
    return padded_histories(reference.histories, model.num_items)


class TrainedStudent(GlobalStudent):
    """A protocol with one kind of student, global and kept in the state, and no larger teacher.

    Attributes
    ----------
    model : ModelConfig
        The student.
    central : CentralTraining
        Training of the centralised comparison.
    """

    model: AnyModel = AutoencoderConfig()
    central: Annotated[CentralTraining, COMPARED] = CentralTraining()

    def teacher(self, state: State) -> Recommender | None:
        """Return None: there is no large model."""
        del state
        return None

    def student(self, state: State) -> Recommender | None:
        """Return the global student."""
        return self.global_student(state)

    def global_student(self, state: State) -> Recommender:
        """Return the student that the state holds."""
        return student_of(state, self.blank_student(state.setup.public.catalogue))

    def centralised(self, train: Interactions, setup: Setup) -> Recommender | None:
        """Return the same student trained in one place."""
        blank = self.model.build(train.catalogue, setup.seed)
        return train_centrally(blank, train.histories, self.central, stream(setup.seed, "central"))

    def blank_student(self, catalogue: Catalogue) -> Recommender:
        """Return a student of the right shape."""
        return self.model.build(catalogue, seed=0)


class OwnStudents(TrainedStudent):
    """A protocol in which every client keeps a student of its own, whose shape may be that of its device's profile."""

    def profiled(self) -> bool:
        """Return True."""
        return True

    def own_student(self, cohort: Cohort) -> Recommender:
        """Return an untrained student of the shape that a cohort's clients have."""
        return (cohort.model or self.model).build(cohort.data.train.catalogue, cohort.seed)

    def kept_bytes(self, model: ModelConfig | None, catalogue: Catalogue) -> int:
        """Return the bytes of a student."""
        return working_bytes((model or self.model).build(catalogue, seed=0))
