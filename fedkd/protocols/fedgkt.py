"""FedGKT: features and soft labels travel up, the large model's soft labels travel down."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from fedkd.data.catalogue import Catalogue
from fedkd.distillation.score_directions import shrunk, signal_share
from fedkd.errors import UserError
from fedkd.losses.features import feature_mse
from fedkd.losses.multinomial import multinomial_cross_entropy
from fedkd.losses.softmax import soft_label_divergence
from fedkd.messages.types import Answers, Asks, Estimates, Kind, Reference, Spec
from fedkd.models.arrays import export_arrays, load_arrays
from fedkd.models.base import Recommender, multi_hot, padded_histories, score
from fedkd.models.device import beside
from fedkd.models.split import Speaking, SplitRecommender, feature_width
from fedkd.protocols.base import Metrics, Setup, State
from fedkd.protocols.server_optimiser import named, part, pooled, student_arrays, taken, under
from fedkd.protocols.taught import parts
from fedkd.protocols.trained import (
    DIRECTIONS,
    TrainedStudent,
    along,
    histories_of,
    released_directions,
    tunable_training,
    within_budget,
)
from fedkd.random_streams import stream
from fedkd.training.central import Rows, train
from fedkd.training.chunks import Model
from fedkd.training.cohort import Cohort
from fedkd.training.engine import predict, replicate
from fedkd.training.hard_labels import nonempty, train_centrally
from fedkd.training.local import Lesson, train_locally
from fedkd.training.options import CentralTraining, LocalTraining, StepTraining

HEAD, COMMON, LESSON = "head.", "common.", "lesson"
"""Prefixes of the server's large model in a state and of the student that is sent, and the name of the soft labels."""


class FedGKT(TrainedStudent):
    """FedGKT (He, Annavaram & Avestimehr, Group knowledge transfer, NeurIPS 2020), on public histories.

    Clients train a small network, an extractor of features with a small classifier, with
    ``CE + alpha T^2 KL(p_server || p_client)``. They send features and logits. The server trains a large network on the
    features, with ``CE + alpha T^2 KL(p_client || p_server)``, and sends its logits back. Extractor and large network
    together are the teacher.

    In the paper clients send features, logits and labels of their own samples: here that would be what their users
    like, so clients send features and logits of public histories, whose labels are public. The server then needs
    nothing but their means, and masks hide what each client says. Means of features need one space of features:
    clients start every round from the server's student, where the paper's keep networks of their own. The student
    learns the mean features, and the server's logits, as clients do in the paper.

    Under protection clients release the difference of features and logits from those of the student as it was sent,
    along few directions (`fedkd.distillation.score_directions`).

    Attributes
    ----------
    references : int
        Parts of public histories, drawn anew in every round.
    panel : int
        Number of items that clients score, the most popular ones; 0 for all.
    server_width : int
        Units of each of the two hidden layers of the server's network.
    temperature : float
        Of both softmaxes.
    soft_weight : float
        ``alpha``, the weight of soft labels beside hard ones, on both sides.
    label_weight : float
        Weight of the references' hard labels on the server, which has learnt them before the first round.
    feature_weight : float
        Weight of the features in what the student learns on the server.
    pretraining : CentralTraining
        Training of the student on the public users before the first round.
    teaching : StepTraining
        Training on the server in a round: of its network, and of the student.
    local : LocalTraining
        Private training in a round.
    clip : float
        Under protection: the largest Euclidean norm of what one client releases.
    """

    learns_from_public: ClassVar[bool] = True
    tunable: ClassVar[Mapping[str, tuple[float, ...]]] = tunable_training("pretraining")
    name: Literal["fedgkt"] = "fedgkt"
    references: int = Field(64, ge=1)
    panel: int = Field(0, ge=0)
    server_width: int = Field(256, ge=1)
    temperature: float = Field(1.0, gt=0)
    soft_weight: float = Field(1.0, ge=0)
    label_weight: float = Field(0.1, ge=0)
    feature_weight: float = Field(1.0, ge=0)
    pretraining: CentralTraining = CentralTraining()
    teaching: StepTraining = StepTraining(steps=100, learning_rate=0.003, batch_size=64)
    local: LocalTraining = LocalTraining(epochs=5, learning_rate=0.003)
    clip: float = Field(2.0, gt=0)

    def begin(self, setup: Setup) -> State:
        """Train the student, and the large network on its features, on the public users."""
        histories = nonempty(setup.public.histories)
        if not len(histories):
            raise UserError(
                "algorithm fedgkt needs public users, whose histories everyone scores, and there are none; "
                "set partition.public-fraction above 0, for example 0.1"
            )
        blank = self.model.build(setup.public.catalogue, setup.seed)
        student = train_centrally(blank, histories, self.pretraining, stream(setup.seed, "pretrain"))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(setup.seed)
            teacher = SplitRecommender(student, self.server_width)
        train_centrally(teacher, histories, self.pretraining, stream(setup.seed, "pretrain"))
        return State(setup, student_arrays(student) | named(HEAD, teacher.upper_arrays()))

    def teacher(self, state: State) -> SplitRecommender:
        """Return the large network on top of the student's features."""
        with torch.random.fork_rng(devices=[]):
            blank = SplitRecommender(self.global_student(state), self.server_width)
        return blank.with_upper(part(state, HEAD))

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send the student, the references, and the server's logits for them."""
        del rng
        reference, _ = self._drawn(state.setup, round_number)
        shared = named(COMMON, export_arrays(self.global_student(state)))
        lesson = score(self.teacher(state), reference.histories)[:, reference.panel]
        shared["width"] = np.array([feature_width(self.blank_student(state.setup.public.catalogue))])
        shared[LESSON] = (lesson - lesson.max(-1, keepdims=True)).astype(np.float16)
        if (budget := state.setup.answer_budget) is not None:
            shared[DIRECTIONS] = released_directions(said(self._sent(state), reference), budget)
        return Asks(round_number, clients, shared, reference=reference)

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return features and logits of every reference side by side, or along the directions that were sent."""
        assert asks.reference is not None
        rows = len(asks.shared.get(DIRECTIONS, asks.reference.histories))
        columns = int(asks.shared["width"][0]) + len(asks.reference.panel)
        return {"knowledge": Spec(Kind.SCORES, (rows, columns), clip=self.clip, weighted=True)}

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Train the student on hard labels and on the server's logits, and answer with features and logits."""
        assert asks.reference is not None
        student = self._common(asks, cohort.data.train.catalogue)
        parameters = replicate(student, len(cohort))
        train_locally(student, parameters, cohort, self.local, asks.round, self._lesson(student, asks))
        speaking, own = Speaking(student, asks.reference.panel), {f"student.{n}": p for n, p in parameters.items()}
        values = predict(speaking, own, histories_of(student, asks.reference), shared=True).numpy()
        if DIRECTIONS in asks.shared:
            sent = self._common(asks, cohort.data.train.catalogue)
            values = along(asks, values - said(sent, asks.reference))
        return cohort, Answers(asks.round, cohort.clients, {"knowledge": values}, asks.reference.fingerprint)

    def pool(self, state: State, estimates: Estimates) -> State:
        """Add up features and logits."""
        return pooled(state, estimates).with_arrays(round=np.array(estimates.round))

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Train the large network on the mean features, and the student on them and on the network's logits."""
        state, total, count = taken(state, "knowledge")
        if count == 0:
            return state, {}
        reference, whole = self._drawn(state.setup, int(state.arrays["round"]))
        mean = shrunk(total.value, total.std) / count
        if (budget := state.setup.answer_budget) is not None:
            known = said(self._sent(state), reference)
            mean = known + released_directions(known, budget).T @ mean
        width = mean.shape[1] - len(reference.panel)
        features, logits = (torch.from_numpy(half.astype(np.float32)) for half in np.split(mean, [width], axis=1))
        teacher, student = self.teacher(state), self.global_student(state)
        self._teach_network(teacher, Knowledge(reference, whole, features, logits), rng)
        lesson = Knowledge(reference, whole, features, teacher.of_features(features).detach())
        self._teach_student(student, lesson, rng)
        distance = float((features - torch.from_numpy(said(student, reference)[:, :width])).abs().mean())
        state = state.with_arrays(**student_arrays(student), **named(HEAD, teacher.upper_arrays()))
        return state, {"distance": distance, "signal": signal_share(total.value, total.std)}

    def _teach_network(self, teacher: SplitRecommender, given: "Knowledge", rng: np.random.Generator) -> None:
        panel = torch.from_numpy(given.reference.panel.astype(np.int64))

        def loss_of(rows: Rows) -> Tensor:
            features, logits, whole = (beside(teacher, column) for column in given.rows(rows))
            scores = teacher.of_features(features)
            soft = soft_label_divergence(scores[:, beside(teacher, panel)], logits, self.temperature)
            hard = multinomial_cross_entropy(scores, multi_hot(whole, teacher.num_items))
            return (self.label_weight * hard + self.soft_weight * soft).mean()

        train(teacher, loss_of, len(given.whole), self.teaching, rng)

    def _teach_student(self, student: Recommender, given: "Knowledge", rng: np.random.Generator) -> None:
        shown = histories_of(student, given.reference)

        def loss_of(rows: Rows) -> Tensor:
            history, features, logits, whole = (beside(student, part) for part in (shown[rows], *given.rows(rows)))
            scores, ours = student(history), student.hidden(history)
            soft = soft_label_divergence(scores, logits, self.temperature)
            hard = multinomial_cross_entropy(scores, multi_hot(whole, student.num_items))
            imitated = feature_mse(ours[:, None], features[:, None])
            return (self.label_weight * hard + self.soft_weight * soft + self.feature_weight * imitated).mean()

        train(student, loss_of, len(given.whole), self.teaching, rng)

    def _lesson(self, student: Recommender, asks: Asks) -> Lesson:
        """Return the loss of private hard labels and the server's logits."""
        assert asks.reference is not None
        shown, panel = histories_of(student, asks.reference), torch.from_numpy(asks.reference.panel.astype(np.int64))
        server = torch.from_numpy(asks.shared[LESSON].astype(np.float32))

        def loss(model: Model, batch: Mapping[str, Tensor]) -> Tensor:
            history, items, theirs = (beside(student, fixed) for fixed in (shown, panel, server))
            ours = model(history[batch["row"]])[..., items]
            soft = soft_label_divergence(ours, theirs[batch["row"]], self.temperature)
            whole = multi_hot(batch["whole"], student.num_items)
            return multinomial_cross_entropy(model(batch["shown"]), whole) + self.soft_weight * soft

        return Lesson(len(shown), loss)

    def _drawn(self, setup: Setup, round_number: int) -> tuple[Reference, Tensor]:
        """Return what everyone scores in a round, and the whole histories of which it shows parts."""
        rng, histories = stream(setup.seed, "references", round_number), nonempty(setup.public.histories)
        chosen = histories.take(np.sort(rng.integers(len(histories), size=self.references)))
        reference = within_budget(Reference(parts(chosen, rng), setup.popular[: self.panel or None]), setup)
        if setup.answer_budget is not None:  # features take their part of it
            width = feature_width(self.blank_student(setup.public.catalogue))
            reference = replace(reference, panel=reference.panel[: max(1, len(reference.panel) - width)])
        return reference, padded_histories(chosen, setup.public.num_items)

    def _common(self, asks: Asks, catalogue: Catalogue) -> Recommender:
        """Return the student as it was sent."""
        common = under(COMMON, asks.shared)
        return load_arrays(self.blank_student(catalogue), common).eval()

    def _sent(self, state: State) -> Recommender:
        """Return the student as it is sent."""
        student = self.global_student(state)
        return load_arrays(student, export_arrays(student)).eval()


@dataclass(frozen=True)
class Knowledge:
    """Features and soft labels of some references.

    Attributes
    ----------
    reference : Reference
        The references.
    whole : Tensor of int64, shape [references, length]
        The histories of which they show parts: their hard labels, padded.
    features, logits : Tensor
        Features, and logits of the panel or of all items, shape [references, ...].
    """

    reference: Reference
    whole: Tensor
    features: Tensor
    logits: Tensor

    def rows(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, logits and hard labels of some references."""
        return self.features[rows], self.logits[rows], self.whole[rows]


def said(student: Recommender, reference: Reference) -> NDArray[np.float32]:
    """Return a student's features and logits of a reference side by side, shape [references, features + panel]."""
    with torch.no_grad():
        values: NDArray[np.float32] = Speaking(student, reference.panel)(histories_of(student, reference)).numpy()
    return values
