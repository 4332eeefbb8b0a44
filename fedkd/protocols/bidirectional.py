"""Bidirectional distillation: a large teacher on the server and small students on clients teach each other."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from fedkd.data.catalogue import Catalogue
from fedkd.distillation.listed_labels import listed, unlisted
from fedkd.distillation.objective import example_losses, observed
from fedkd.distillation.options import DistillationOptions
from fedkd.distillation.score_directions import shrunk, signal_share
from fedkd.distillation.targets import teacher_targets
from fedkd.losses.objectives import LossWeights
from fedkd.messages.types import Answers, Asks, Estimates, Kind, Quantiser, Reference, Spec
from fedkd.models.arrays import export_arrays, load_arrays, working_bytes
from fedkd.models.base import ModelConfig, Recommender, score
from fedkd.models.device import beside
from fedkd.models.table import AnyModel
from fedkd.protocols.base import Metrics, State
from fedkd.protocols.server_optimiser import named, pooled, taken, under
from fedkd.protocols.taught import TaughtTeacher, pooled_targets
from fedkd.protocols.trained import DIRECTIONS, along, histories_of, released_directions
from fedkd.random_streams import stream
from fedkd.training.chunks import Parameters
from fedkd.training.cohort import Cohort
from fedkd.training.engine import predict, replicate
from fedkd.training.local import Lesson, keep_students, own_students, train_locally
from fedkd.training.options import LocalTraining

STEP, LEVELS = 1 / 16, 127
"""Distance of the values in which changes of logits are coded where there is no budget, and how many on either side."""

ASKED = "asked"
"""Name of the number of clients that are asked, so that their sum has enough bits."""

COMMON, LESSON = "common.", "lesson."
"""Prefixes of the arrays that clients get: the global student, and the teacher's soft labels and features."""

WRAPPED = "student."
"""Prefix of a student's parameters inside an `ObservedStudent`."""

Columns = Mapping[str, Tensor]


class Bidirectional(TaughtTeacher):
    """Distillation both ways: the server's teacher teaches clients' students, and their soft labels teach it.

    A round: clients get the global student and, for the references, the teacher's soft labels (a list of its best items
    and a bucket for the rest) and features. Each trains the student on its private hard labels (``L_opt``) and on these
    (``L_dist``), and answers with what that changed in its scores of the references. The mean of these changes corrects
    the teacher's own logits there, and the teacher learns the corrected ones. Then the global student is distilled from
    the teacher, and optimised on public hard labels.

    The mean of models that are each trained to the end on little data is far better than any of them, so few rounds of
    long private training are best in silos. A client of one user trains briefly instead.

    Models that teach each other are those of deep mutual learning (Zhang et al., CVPR 2018), and from predictions of
    large groups codistillation (Anil et al., Large scale distributed neural network training through online
    distillation, ICLR 2018); a large model on the server that learns so is that of FedGKT (He et al., NeurIPS 2020).
    Changes travel in 8 bits, rounded at random so that their mean is right. They are small where private data says
    nothing new, as in `Iterated`, and noise, clip and mask apply to them alone.

    Attributes
    ----------
    own : ModelConfig, optional
        A larger model of every client's own, for silos: it is trained in place of the global student, kept between
        rounds, and never sent. Clients then answer with how its scores differ from the teacher's as they know them. The
        profile of a client's device may give it another one (``clients.profiles``).
    local : LocalTraining
        Private training in a round.
    lesson : LossWeights
        Weights of the teacher's soft labels and features, and of the private hard labels, in private training.
    step : float
        The teacher's correction over the mean change.
    clip : float
        Under protection: the largest Euclidean norm of one client's change.
    """

    name: Literal["bidirectional"] = "bidirectional"
    own: AnyModel | None = None
    local: LocalTraining = LocalTraining(epochs=5, learning_rate=0.003)
    lesson: LossWeights = LossWeights(soft=1.0, feature=0.1, hard=1.0)
    step: float = Field(1.0, gt=0)
    clip: float = Field(2.0, gt=0)

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send the references, what the teacher says of them, and the student, unless clients have their own."""
        reference = self.reference(state, round_number)
        shared = named(LESSON, self._lesson(state, reference, rng)) | {ASKED: np.array(len(clients))}
        if self.own is None:
            shared |= named(COMMON, export_arrays(self.global_student(state)))
        asks = Asks(round_number, clients, shared, reference=reference)
        if (budget := state.setup.answer_budget) is None:
            return asks
        known = self._known(asks, state.setup.public.catalogue)
        return replace(asks, shared={**shared, DIRECTIONS: released_directions(known, budget)})

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return the change of the scores of every reference in 8 bits, or along the directions that were sent."""
        assert asks.reference is not None
        shape = (len(asks.shared.get(DIRECTIONS, asks.reference.histories)), len(asks.reference.panel))
        if DIRECTIONS in asks.shared:
            return {"change": Spec(Kind.SCORES, shape, clip=self.clip)}
        bits = (2 * LEVELS * max(1, int(asks.shared[ASKED]))).bit_length()
        return {"change": Spec(Kind.SCORES, shape, quantiser=Quantiser(STEP, -LEVELS, LEVELS, bits), clip=self.clip)}

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Train on hard labels and on the lesson, and answer with what is new in the scores of the references."""
        assert asks.reference is not None
        catalogue = cohort.data.train.catalogue
        model = self._begun(asks, cohort)
        trained = self._trained(model, cohort, asks)
        panel = torch.from_numpy(asks.reference.panel.astype(np.int64))
        after = predict(model, trained, histories_of(model, asks.reference), shared=True)[..., panel].numpy()
        change = along(asks, news(after, self._known(asks, catalogue), asks.reference))
        if DIRECTIONS not in asks.shared:
            change += dither(cohort, asks.round, change.shape[1:])
        answers = Answers(asks.round, cohort.clients, {"change": change}, asks.reference.fingerprint)
        return (cohort if self.own is None else keep_students(cohort, trained)), answers

    def profiled(self) -> bool:
        """Return whether clients have models of their own."""
        return self.own is not None

    def kept_bytes(self, model: ModelConfig | None, catalogue: Catalogue) -> int:
        """Return the bytes of a client's own model."""
        return 0 if self.own is None else working_bytes((model or self.own).build(catalogue, seed=0))

    def pool(self, state: State, estimates: Estimates) -> State:
        """Add up the changes."""
        return pooled(state, estimates).with_arrays(round=np.array(estimates.round))

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Let the teacher learn its own logits with the mean change in them, and distil the student from it."""
        state, total, weight = taken(state, "change")
        if weight == 0:
            return state, {}
        asks = self.ask(state, np.zeros(0, np.int64), int(state.arrays["round"]), rng)
        assert asks.reference is not None
        change = shrunk(total.value, total.std) / weight
        if DIRECTIONS in asks.shared:
            change = asks.shared[DIRECTIONS].T @ change
        wanted = self._taught_before(state, asks)
        wanted[:, asks.reference.panel] += (self.step * change).astype(np.float32)
        state = self.taught(state, pooled_targets(asks.reference, wanted), rng)
        size = float(np.sqrt(np.square(change).mean()))
        return state, {"change": size, "signal": signal_share(total.value, total.std)}

    def _taught_before(self, state: State, asks: Asks) -> NDArray[np.float32]:
        """Return the teacher's logits that changes are added to: as clients know them where they answer with these."""
        assert asks.reference is not None
        if self.own is not None:
            return unlisted(under(LESSON, asks.shared), state.setup.public.num_items)
        return score(self.teacher(state), asks.reference.histories)

    def _begun(self, asks: Asks, cohort: Cohort) -> Recommender:
        """Return the model with which clients begin."""
        if self.own is not None:
            return (cohort.model or self.own).build(cohort.data.train.catalogue, cohort.seed).eval()
        return self._common(asks, cohort.data.train.catalogue)

    def _common(self, asks: Asks, catalogue: Catalogue) -> Recommender:
        """Return the global student as it was sent."""
        return load_arrays(self.blank_student(catalogue), under(COMMON, asks.shared)).eval()

    def _known(self, asks: Asks, catalogue: Catalogue) -> NDArray[np.float32]:
        """Return the scores of the references that everybody knows, shape [references, panel]."""
        assert asks.reference is not None
        if self.own is not None:
            return unlisted(under(LESSON, asks.shared), len(catalogue))[:, asks.reference.panel]
        return score(self._common(asks, catalogue), asks.reference.histories)[:, asks.reference.panel]

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
        options, given = self._client_options, under(LESSON, asks.shared)
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
                model, {**taught, "labelled": batch["shown"], "whole": batch["whole"]}, options, self.lesson
            )

        begun = {WRAPPED + name: p for name, p in own_students(student, cohort).items()}
        parameters = replicate(observer, len(cohort)) | begun
        train_locally(observer, parameters, cohort, self.local, asks.round, Lesson(len(rows["shown"]), loss))
        return {name.removeprefix(WRAPPED): p for name, p in parameters.items() if name.startswith(WRAPPED)}


def dither(cohort: Cohort, round_number: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return random numbers of every client, within half a step, after which rounding is right in the mean."""
    drawn = [stream(cohort.seed, "dither", round_number, int(client)).random(shape) for client in cohort.clients]
    return ((np.stack(drawn) - 0.5) * STEP).astype(np.float32)


def news(scores: NDArray[np.float32], known: NDArray[np.float32], reference: Reference) -> NDArray[np.float32]:
    """Return what scores say beyond known ones, of the items that a reference does not hold.

    Their mean, which no softmax tells, is taken away.

    Parameters
    ----------
    scores : ndarray of float32, shape [..., references, panel]
        Of clients.
    known : ndarray of float32, shape [references, panel]
        What everybody knows.
    reference : Reference
        What was scored.
    """
    size = max(int(reference.panel.max(initial=0)), int(reference.histories.values.max(initial=0))) + 1
    new = (reference.histories.matrix(size, np.int8).toarray() == 0)[:, reference.panel].astype(np.float32)
    change = (scores - known) * new
    means: NDArray[np.float32] = change.sum(-1, keepdims=True) / np.maximum(new.sum(-1, keepdims=True), 1)
    centred: NDArray[np.float32] = (change - means) * new
    return centred
