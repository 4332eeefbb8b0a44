"""Bidirectional distillation: a large teacher on the server and small students on clients teach each other."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from fedkd.distillation.listed_labels import listed, unlisted
from fedkd.distillation.objective import example_losses, observed
from fedkd.distillation.options import DistillationOptions
from fedkd.distillation.score_directions import shrunk, signal_share
from fedkd.distillation.targets import teacher_targets
from fedkd.losses.objectives import LossWeights
from fedkd.messages.types import Answers, Asks, Estimates, Kind, Reference, Spec
from fedkd.models.arrays import export_arrays, load_arrays
from fedkd.models.base import Recommender, padded_histories, score
from fedkd.models.device import beside
from fedkd.protocols.base import Metrics, State
from fedkd.protocols.server_optimiser import named, pooled, taken
from fedkd.protocols.taught import TaughtTeacher, pooled_targets
from fedkd.protocols.trained import DIRECTIONS, along, released_directions
from fedkd.training.chunks import Parameters
from fedkd.training.cohort import Cohort
from fedkd.training.engine import predict, replicate
from fedkd.training.local import Lesson, train_locally, weights_of
from fedkd.training.options import LocalTraining

COMMON, LESSON = "common.", "lesson."
"""Prefixes of the arrays that clients get: the global student, and the teacher's soft labels and features."""

Columns = Mapping[str, Tensor]


class Bidirectional(TaughtTeacher):
    """Distillation both ways: the server's teacher teaches clients' students, and their soft labels teach it.

    A round: clients get the global student and, for the references, the teacher's soft labels (a list of its best items
    and a bucket for the rest) and features. Each trains the student on its private hard labels (``L_opt``) and on these
    (``L_dist``), and answers with what that changed in its scores of the references. The sum of these changes, over
    the number of clients, corrects the teacher's own logits there, and the teacher learns the corrected ones, beside
    the public users' hard labels. Then the global student is distilled from the teacher and optimised on public hard
    labels.

    Models that teach each other are those of deep mutual learning (Zhang et al., CVPR 2018), and from predictions of
    large groups codistillation (Anil et al., Large scale distributed neural network training through online
    distillation, ICLR 2018); a large model on the server that learns so is that of FedGKT (He et al., NeurIPS 2020).
    To answer with changes is what `Iterated` does: they are small where private data says nothing new, and noise, clip
    and mask apply to them alone.

    Attributes
    ----------
    local : LocalTraining
        Private training in a round.
    lesson : LossWeights
        Weights of the teacher's soft labels and features, and of the private hard labels, in private training.
    step : float
        The teacher's correction over the mean change. Clients' data is more than one client's share, so the change that
        all of it calls for is larger than the mean of what each calls for.
    clip : float
        Under protection: the largest Euclidean norm of one client's change. Clients then have the same weight.
    """

    name: Literal["bidirectional"] = "bidirectional"
    local: LocalTraining = LocalTraining(epochs=5, learning_rate=0.003)
    lesson: LossWeights = LossWeights(soft=1.0, feature=0.1, hard=1.0)
    step: float = Field(2.0, gt=0)
    clip: float = Field(2.0, gt=0)

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send the student, the references, and what the teacher says of them."""
        reference = self.reference(state, round_number)
        shared = named(COMMON, export_arrays(self.global_student(state)))
        shared |= named(LESSON, self._lesson(state, reference, rng))
        if (budget := state.setup.answer_budget) is not None:
            shared[DIRECTIONS] = released_directions(scores_of(self._sent(state), reference), budget)
        return Asks(round_number, clients, shared, reference=reference)

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return the change of the scores of every reference, or along the directions that were sent."""
        assert asks.reference is not None
        shape = (len(asks.shared.get(DIRECTIONS, asks.reference.histories)), len(asks.reference.panel))
        return {"change": Spec(Kind.SCORES, shape, clip=self.clip, weighted=True)}

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Train the student on hard labels and on the lesson, and answer with the change of its scores."""
        assert asks.reference is not None
        catalogue = cohort.data.train.catalogue
        student = load_arrays(self.blank_student(catalogue), under(COMMON, asks)).eval()
        trained = self._trained(student, cohort, asks)
        panel = torch.from_numpy(asks.reference.panel.astype(np.int64))
        after = predict(student, trained, histories_of(student, asks.reference), shared=True)[..., panel].numpy()
        change = along(asks, centred(after - scores_of(student, asks.reference)))
        fingerprint, weights = asks.reference.fingerprint, weights_of(cohort, 0.5)
        return cohort, Answers(asks.round, cohort.clients, {"change": change}, fingerprint, weights=weights)

    def pool(self, state: State, estimates: Estimates) -> State:
        """Add up the weighted changes."""
        return pooled(state, estimates).with_arrays(round=np.array(estimates.round))

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Let the teacher learn its own logits with the mean change in them, and distil the student from it."""
        state, total, weight = taken(state, "change")
        if weight == 0:
            return state, {}
        reference = self.reference(state, int(state.arrays["round"]))
        change = shrunk(total.value, total.std) / weight
        if (budget := state.setup.answer_budget) is not None:
            change = released_directions(scores_of(self._sent(state), reference), budget).T @ change
        wanted = score(self.teacher(state), reference.histories)
        wanted[:, reference.panel] += (self.step * change).astype(np.float32)
        state = self.taught(state, pooled_targets(reference, wanted), rng)
        size = float(np.sqrt(np.square(change).mean()))
        return state, {"change": size, "signal": signal_share(total.value, total.std)}

    def _lesson(self, state: State, reference: Reference, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        """Return the teacher's soft labels for the references, and its features where they have a weight."""
        options = self._client_options
        targets = teacher_targets(self.teacher(state), reference.histories, options, 0, rng)
        lists = listed(targets.scores, reference.histories, options.top, options.temperature)
        return lists if targets.features is None else lists | {"features": targets.features.astype(np.float16)}

    @property
    def _client_options(self) -> DistillationOptions:
        """The student's losses on clients, who know the teacher's list alone."""
        given = {"weights": self.lesson, "last_weights": None, "soft_label_loss": "top-k", "unseen_only": True}
        return self.distillation.model_copy(update=given)

    def _trained(self, student: Recommender, cohort: Cohort, asks: Asks) -> Parameters:
        """Return every client's student after private training and the lesson."""
        assert asks.reference is not None
        options, given = self._client_options, under(LESSON, asks)
        features = given.get("features")
        observer = observed(student, options, None if features is None else features.shape[-1], cohort.seed)
        rows: dict[str, Tensor] = {
            "shown": histories_of(student, asks.reference),
            "teacher": torch.from_numpy(unlisted(given, student.num_items)),
        }
        if features is not None:
            rows["features"] = torch.from_numpy(features.astype(np.float32))

        def loss(model: Any, batch: Columns) -> Tensor:
            taught = {name: beside(student, column)[batch["row"]] for name, column in rows.items()}
            return example_losses(
                model, {**taught, "seen": batch["shown"], "whole": batch["whole"]}, options, self.lesson
            )

        parameters = replicate(observer, len(cohort))
        train_locally(observer, parameters, cohort, self.local, asks.round, Lesson(len(rows["shown"]), loss))
        return {name.removeprefix("student."): p for name, p in parameters.items() if name.startswith("student.")}

    def _sent(self, state: State) -> Recommender:
        """Return the global student as it is sent."""
        student = self.global_student(state)
        return load_arrays(student, export_arrays(student)).eval()


def under(prefix: str, asks: Asks) -> dict[str, NDArray[Any]]:
    """Return the shared arrays whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in asks.shared.items() if name.startswith(prefix)}


def histories_of(model: Recommender, reference: Reference) -> Tensor:
    """Return the references' histories as a model's input."""
    return padded_histories(reference.histories, model.num_items)


def scores_of(model: Recommender, reference: Reference) -> NDArray[np.float32]:
    """Return a model's scores of a reference, shape [references, panel]."""
    panel: NDArray[np.float32] = score(model, reference.histories)[:, reference.panel]
    return panel


def centred(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return scores less their mean over the panel, which no softmax tells."""
    means: NDArray[np.float32] = scores.mean(-1, keepdims=True)
    return scores - means
