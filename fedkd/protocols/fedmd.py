"""FedMD: heterogeneous federated learning by consensus on public data, for histories instead of images."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from fedkd.data.catalogue import Catalogue
from fedkd.distillation.score_directions import shrunk, signal_share
from fedkd.errors import UserError
from fedkd.losses.scores import mean_absolute_difference
from fedkd.messages.types import Answers, Asks, Estimates, Kind, Reference, Spec
from fedkd.models.arrays import export_arrays, load_arrays
from fedkd.models.base import Recommender, padded_histories
from fedkd.models.device import beside
from fedkd.protocols.base import Metrics, Setup, State
from fedkd.protocols.server_optimiser import named, part, pooled, student_arrays, taken
from fedkd.protocols.trained import (
    DIRECTIONS,
    TrainedStudent,
    along,
    released_directions,
    tunable_training,
    within_budget,
)
from fedkd.ragged import Ragged, offsets
from fedkd.random_streams import stream
from fedkd.training.central import Rows
from fedkd.training.central import train as train_steps
from fedkd.training.chunks import Model, Parameters
from fedkd.training.cohort import Cohort
from fedkd.training.engine import predict, train
from fedkd.training.examples import Examples
from fedkd.training.hard_labels import nonempty, train_centrally
from fedkd.training.local import OWN, keep_students, own_students, students_scores, train_locally
from fedkd.training.options import CentralTraining, CohortTraining, LocalTraining

CONSENSUS = "lesson."
"""Prefix of the arrays that a client digests: the histories of the previous round, and the consensus on them."""

COMMON = "common."
"""Prefix of the global student, where clients answer with the difference of their scores from its scores."""

DIGEST_BATCH = 32


class FedMD(TrainedStudent):
    """FedMD (Li & Wang, FedMD: heterogeneous federated learning via model distillation, NeurIPS workshop 2019).

    This is their algorithm 1.

    Transfer learning: every client trains its student on public histories first, then on its own. In every round the
    clients score a fresh subset of the public histories, and the consensus is the mean of these scores (logits, not
    probabilities). Every client *digests* it, with the mean absolute difference to its own scores as loss, and
    *revisits* its own data. A round here begins with the consensus of the previous round. Clients keep their students
    and recommend with them; the server distils a global student from the same consensus, in the same way.

    All clients of a run have students of the same shape.

    Under protection clients release the difference of their scores from those of the global student, which everybody
    knows, along few directions (`fedkd.distillation.score_directions`). The consensus is then the global student's
    scores plus the mean difference times the share of signal in the sum, and the server's step is smaller likewise.

    Attributes
    ----------
    references : int
        Public histories that are scored in a round, drawn anew; all of them where there are fewer.
    panel : int
        Number of items that are scored, the most popular ones; 0 for all. Under protection it is at most the number for
        which the noise leaves room.
    transfer : CentralTraining
        Training on the public histories: of the global student, and of every client's before its first round.
    digest_epochs : int
        Passes over the consensus in a round.
    digest_learning_rate : float
        Learning rate of Adam in these passes.
    local : LocalTraining
        The revisit.
    clip : float
        Under protection: the largest Euclidean norm of the difference of one client's scores from the global student's
        scores of the same references.
    """

    tunable: ClassVar[Mapping[str, tuple[float, ...]]] = tunable_training("transfer")
    name: Literal["fedmd"] = "fedmd"
    references: int = Field(64, ge=1)
    panel: int = Field(0, ge=0)
    transfer: CentralTraining = CentralTraining()
    digest_epochs: int = Field(2, ge=1)
    digest_learning_rate: float = Field(0.003, gt=0)
    local: LocalTraining = LocalTraining(epochs=2, learning_rate=0.001)
    clip: float = Field(2.0, gt=0)

    def begin(self, setup: Setup) -> State:
        """Train the global student on the public users."""
        histories = nonempty(setup.public.histories)
        if not len(histories):
            raise UserError(
                "algorithm fedmd needs public users, whose histories everyone scores, and there are none; "
                "set partition.public-fraction above 0, for example 0.1"
            )
        blank = self.model.build(setup.public.catalogue, setup.seed)
        student = train_centrally(blank, histories, self.transfer, stream(setup.seed, "transfer"))
        return State(setup, student_arrays(student))

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send the consensus of the previous round, and the references to score now."""
        del rng
        last = part(state, CONSENSUS)
        if last:
            last["scores"] = last["scores"].astype(np.float16)
        shared, reference = named(CONSENSUS, last), self._reference(state.setup, round_number)
        if (budget := state.setup.answer_budget) is not None:
            shared |= named(COMMON, export_arrays(self.global_student(state)))
            shared[DIRECTIONS] = released_directions(self._known(state, reference), budget)
        return Asks(round_number, clients, shared, reference=reference)

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return the scores of every reference, or along the directions that were sent."""
        assert asks.reference is not None
        shape = (len(asks.shared.get(DIRECTIONS, asks.reference.histories)), len(asks.reference.panel))
        return {"scores": Spec(Kind.SCORES, shape, clip=self.clip, weighted=True)}

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Digest the consensus, revisit the private data, and score the new references."""
        assert asks.reference is not None
        student, parameters = self._students(cohort, asks)
        panel = torch.from_numpy(asks.reference.panel.astype(np.int64))
        if CONSENSUS + "scores" in asks.shared:
            self._digest(student, parameters, cohort, asks)
        train_locally(student, parameters, cohort, self.local, asks.round)
        history = padded_histories(asks.reference.histories, student.num_items)
        scores = predict(student, parameters, history, shared=True)[..., panel].numpy()
        if DIRECTIONS in asks.shared:
            scores = along(asks, scores - _scores(self._common(asks, cohort.data.train.catalogue), asks.reference))
        fingerprint = asks.reference.fingerprint
        return keep_students(cohort, parameters), Answers(asks.round, cohort.clients, {"scores": scores}, fingerprint)

    def pool(self, state: State, estimates: Estimates) -> State:
        """Add up the scores."""
        return pooled(state, estimates).with_arrays(round=np.array(estimates.round))

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Take the mean as the consensus, and let the global student digest it."""
        state, total, count = taken(state, "scores")
        if count == 0:
            return state, {}
        reference = self._reference(state.setup, int(state.arrays["round"]))
        student = self.global_student(state)
        signal, mean = signal_share(total.value, total.std), shrunk(total.value, total.std) / count
        consensus = mean.astype(np.float32)
        if (budget := state.setup.answer_budget) is not None:
            known = self._known(state, reference)
            consensus = known + released_directions(known, budget).T @ consensus
        distance = self._digest_centrally(student, reference, torch.from_numpy(consensus), signal, rng)
        last = {"values": reference.histories.values, "lengths": reference.histories.lengths, "scores": consensus}
        return state.with_arrays(**student_arrays(student), **named(CONSENSUS, last)), {
            "distance": distance,
            "signal": signal,
        }

    def kept_bytes(self, catalogue: Catalogue) -> int:
        """Return the bytes of a student."""
        return self.blank_student(catalogue).size()[1]

    def predict(self, cohort: Cohort, asks: Asks) -> NDArray[np.float32]:
        """Score every user's history with the student of the user's client, or the global one if it has none yet."""
        student = load_arrays(self.blank_student(cohort.data.train.catalogue), asks.shared)
        return students_scores(student, own_students(student, cohort), cohort)

    def _reference(self, setup: Setup, round_number: int) -> Reference:
        histories = nonempty(setup.public.histories)
        rng = stream(setup.seed, "references", round_number)
        rows = np.sort(rng.permutation(len(histories))[: self.references])
        return within_budget(Reference(histories.take(rows), setup.popular[: self.panel or None]), setup)

    def _known(self, state: State, reference: Reference) -> NDArray[np.float32]:
        """Return the scores of the global student as it is sent."""
        student = self.global_student(state)
        return _scores(load_arrays(student, export_arrays(student)).eval(), reference)

    def _students(self, cohort: Cohort, asks: Asks) -> tuple[Recommender, Parameters]:
        """Return every client's student; a client without one trains it on the public histories first.

        Under protection it takes the global student instead, so that the two differ only by private training.
        """
        assert asks.reference is not None
        if DIRECTIONS in asks.shared:
            student = self._common(asks, cohort.data.train.catalogue)
            return student, own_students(student, cohort)
        student = self.model.build(cohort.data.train.catalogue, cohort.seed)
        if any(not any(name.startswith(OWN) for name in kept) for kept in cohort.states):
            rng = stream(cohort.seed, "transfer", asks.round)
            train_centrally(student, asks.reference.histories, self.transfer, rng)
        return student.eval(), own_students(student, cohort)

    def _common(self, asks: Asks, catalogue: Catalogue) -> Recommender:
        """Return the global student as it was sent."""
        common = {n.removeprefix(COMMON): a for n, a in asks.shared.items() if n.startswith(COMMON)}
        return load_arrays(self.blank_student(catalogue), common).eval()

    def _digest_centrally(
        self, student: Recommender, reference: Reference, consensus: Tensor, signal: float, rng: np.random.Generator
    ) -> float:
        """Train the global student towards the consensus, in place; return its distance before that."""
        history = padded_histories(reference.histories, student.num_items)
        panel = torch.from_numpy(reference.panel.astype(np.int64))

        def loss_of(rows: Rows) -> Tensor:
            scores = student(beside(student, history[rows]))[:, beside(student, panel)]
            wanted = beside(student, consensus[rows])
            return mean_absolute_difference(scores.flatten(), wanted.flatten())  # of all pairs at once

        with torch.no_grad():
            before = float(loss_of(np.arange(len(history))))
        rate = signal * self.digest_learning_rate
        if rate > 0:
            training = CentralTraining(
                epochs=self.digest_epochs, learning_rate=rate, batch_size=DIGEST_BATCH, weight_decay=0.0
            )
            train_steps(student, loss_of, len(history), training, rng)
        return before

    def _digest(self, student: Recommender, parameters: Parameters, cohort: Cohort, asks: Asks) -> None:
        """Train every client towards the consensus, in place."""
        assert asks.reference is not None
        last = {name: asks.shared[CONSENSUS + name] for name in ("values", "lengths", "scores")}
        histories = Ragged(last["values"], offsets(last["lengths"]))
        history = padded_histories(histories, student.num_items)
        consensus = torch.from_numpy(last["scores"].astype(np.float32))
        panel = torch.from_numpy(asks.reference.panel.astype(np.int64))

        def loss(model: Model, batch: Mapping[str, Tensor]) -> Tensor:
            shown, items, wanted = (beside(student, part) for part in (history, panel, consensus))
            return mean_absolute_difference(model(shown[batch["row"]])[..., items], wanted[batch["row"]])

        rows = Ragged.from_rows([np.arange(len(history))] * len(cohort), np.int64)
        streams = [stream(cohort.seed, "digest", asks.round, int(client)) for client in cohort.clients]
        training = CohortTraining(
            epochs=self.digest_epochs, learning_rate=self.digest_learning_rate, batch_size=DIGEST_BATCH
        )
        train(student, parameters, Examples({"row": rows}), loss, training, streams)


def _scores(student: Recommender, reference: Reference) -> NDArray[np.float32]:
    """Return a student's scores of a reference, shape [references, panel]."""
    history = padded_histories(reference.histories, student.num_items)
    with torch.no_grad():
        scores: NDArray[np.float32] = student(history)[:, torch.from_numpy(reference.panel.astype(np.int64))].numpy()
    return scores
