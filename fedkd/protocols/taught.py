"""The common part of protocols with a neural teacher on the server, which pooled soft labels teach."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedkd.data.interactions import Interactions
from fedkd.distillation.options import DistillationOptions
from fedkd.distillation.pipeline import distil, optimise
from fedkd.distillation.targets import DistillationTargets, teacher_targets
from fedkd.errors import UserError
from fedkd.losses.objectives import LossWeights
from fedkd.messages.types import Reference
from fedkd.models.arrays import load_arrays, model_arrays
from fedkd.models.base import Recommender
from fedkd.models.cnn import CNNConfig
from fedkd.models.table import AnyModel
from fedkd.protocols.base import Setup, State
from fedkd.protocols.server_optimiser import named, part, student_arrays
from fedkd.protocols.trained import TrainedStudent, tunable_training, within_budget
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from fedkd.training.hard_labels import nonempty, train_centrally
from fedkd.training.options import CentralTraining, StepTraining

TEACHER = "teacher."
"""Prefix of the teacher's arrays in a state."""

PARTS = 4
"""Random parts of every history that the student learns beside the whole."""

SHORTEST = 0.2
"""Least share of a public history that a reference shows."""


class TaughtTeacher(TrainedStudent):
    """A protocol with a large teacher on the server and a small global student, both of them neural.

    The teacher begins with the public users' hard labels (``L_pre``). After every round it learns from soft labels that
    a subclass makes of the clients' pooled answers, and the student is distilled from it (``L_dist``, soft labels and
    features) and optimised on the public users' hard labels (``L_opt``).

    Attributes
    ----------
    model : ModelConfig
        The student.
    teacher_model : ModelConfig
        The teacher; it never leaves the server.
    references : int
        Histories that clients score in a round, drawn anew: parts of public ones.
    panel : int
        Number of items that clients score, the most popular ones; 0 for all. Under protection it is at most the number
        for which the noise leaves room.
    pretraining : CentralTraining
        Training of the teacher on the public users before the first round.
    teaching : DistillationOptions
        How the teacher learns from pooled soft labels, and from the public users' hard labels beside them.
    distillation : DistillationOptions
        How the student learns from the teacher: on the references, the public histories, and parts of both.
    optimisation : StepTraining
        Training of the student on the public users' hard labels after every distillation.
    central : CentralTraining
        Training of teacher and student where everyone's histories lie in one place, for comparison.
    """

    learns_from_public: ClassVar[bool] = True
    tunable: ClassVar[Mapping[str, tuple[float, ...]]] = tunable_training("central")
    model: AnyModel = CNNConfig()
    teacher_model: AnyModel = CNNConfig(width=64, channels=(32, 64))
    references: int = Field(256, ge=1)
    panel: int = Field(0, ge=0)
    pretraining: CentralTraining = CentralTraining(epochs=60)
    teaching: DistillationOptions = DistillationOptions(
        weights=LossWeights(soft=1.0),
        training=StepTraining(steps=300, learning_rate=0.003, batch_size=128, visible=0.5),
    )
    distillation: DistillationOptions = DistillationOptions(
        weights=LossWeights(soft=1.0, feature=0.1, hard=0.05),
        training=StepTraining(steps=300, learning_rate=0.01, batch_size=64, visible=0.5),
    )
    optimisation: StepTraining = StepTraining(steps=0)

    def begin(self, setup: Setup) -> State:
        """Train the teacher on the public users, and distil the student from it."""
        histories = nonempty(setup.public.histories)
        if not len(histories):
            raise UserError(
                f"algorithm {self.name} needs public users, on whose histories a teacher is trained, and there are "
                "none; set partition.public-fraction above 0, for example 0.1"
            )
        blank = self.teacher_model.build(setup.public.catalogue, setup.seed)
        teacher = train_centrally(blank, histories, self.pretraining, stream(setup.seed, "pretrain"))
        student = self.model.build(setup.public.catalogue, setup.seed)
        state = State(setup, teacher_arrays(teacher) | student_arrays(student))
        return self.distilled(state, histories, stream(setup.seed, "distil"))

    def teacher(self, state: State) -> Recommender:
        """Return the teacher."""
        blank = self.teacher_model.build(state.setup.public.catalogue, seed=0)
        return load_arrays(blank, part(state, TEACHER)).eval()

    @property
    def neural_teacher(self) -> bool:
        """Return True."""
        return True

    def centralised_teacher(self, train: Interactions, setup: Setup) -> Recommender:
        """Return the same teacher trained on everyone's histories in one place."""
        blank = self.teacher_model.build(train.catalogue, setup.seed)
        return train_centrally(blank, train.histories, self.central, stream(setup.seed, "central"))

    @property
    def undistilled_when_silent(self) -> bool:
        """Return false: a silent run distils the student from the public users' teacher."""
        return False

    def undistilled(self, setup: Setup) -> Recommender | None:
        """Return the student trained on the public users' hard labels as the centralised one is on everyone's."""
        return self.centralised(setup.public, setup)

    def reference(self, state: State, round_number: int) -> Reference:
        """Return what everyone scores in a round: random parts of random public histories, drawn anew."""
        setup, rng = state.setup, stream(state.setup.seed, "references", round_number)
        histories = nonempty(setup.public.histories)
        chosen = histories.take(np.sort(rng.integers(len(histories), size=self.references)))
        return within_budget(Reference(parts(chosen, rng), setup.popular[: self.panel or None]), setup)

    def taught(self, state: State, pooled: DistillationTargets, rng: np.random.Generator) -> State:
        """Return the state whose teacher has learnt pooled soft labels, and whose student is distilled from it."""
        teacher, public = self.teacher(state), nonempty(state.setup.public.histories)
        distil(teacher, pooled, self.teaching, rng, labelled=public)
        state = state.with_arrays(**teacher_arrays(teacher))
        return self.distilled(state, Ragged.concatenate([public, pooled.histories]), rng)

    def distilled(self, state: State, histories: Ragged, rng: np.random.Generator) -> State:
        """Return the state whose student has learnt what the teacher says of some histories and of parts of them."""
        student, public = self.global_student(state), nonempty(state.setup.public.histories)
        shown = Ragged.concatenate([histories, *(parts(histories, rng) for _ in range(PARTS))])
        targets = teacher_targets(self.teacher(state), shown, self.distillation, 0, rng)
        distil(student, targets, self.distillation, rng, labelled=public)
        optimise(student, public, self.optimisation, rng)
        return state.with_arrays(**student_arrays(student))


def teacher_arrays(model: Recommender) -> dict[str, NDArray[np.generic]]:
    """Return a model as the arrays in which a state holds the teacher, in full precision."""
    return named(TEACHER, model_arrays(model))


def parts(histories: Ragged, rng: np.random.Generator) -> Ragged:
    """Return random parts of histories, of random size and never empty."""
    share = rng.uniform(SHORTEST, 1.0, len(histories))
    kept = rng.random(len(histories.values)) < share[histories.row_index]
    lost = np.bincount(histories.row_index[kept], minlength=len(histories)) == 0
    return histories.where(kept | lost[histories.row_index])


def pooled_targets(reference: Reference, scores: NDArray[np.float32]) -> DistillationTargets:
    """Return pooled soft labels as the targets of a distillation, without hard labels.

    Parameters
    ----------
    reference : Reference
        What was scored.
    scores : ndarray of float32, shape [references, items]
        Logits of the whole catalogue.
    """
    nobody = Ragged(reference.histories.values[:0], np.zeros(len(reference.histories) + 1, np.int64))
    return DistillationTargets(reference.histories, scores, nobody)
