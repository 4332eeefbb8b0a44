"""The common part of protocols in which clients' soft labels of public histories become one consensus."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from fedkd.data.catalogue import Catalogue
from fedkd.distillation.score_directions import shrunk, signal_share
from fedkd.errors import UserError
from fedkd.messages.types import Answers, Asks, Estimates, Kind, Reference, Spec
from fedkd.models.arrays import export_arrays, load_arrays, model_arrays
from fedkd.models.base import ModelConfig, Recommender
from fedkd.models.device import beside
from fedkd.protocols.base import Metrics, Setup, State
from fedkd.protocols.server_optimiser import STUDENT, named, part, pooled, taken, under
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
from fedkd.training.central import Rows
from fedkd.training.central import train as train_steps
from fedkd.training.chunks import Parameters
from fedkd.training.cohort import Cohort
from fedkd.training.engine import predict
from fedkd.training.hard_labels import nonempty, train_centrally
from fedkd.training.local import train_locally
from fedkd.training.options import CentralTraining, LocalTraining

COMMON = "common."
"""Prefix of the global student, where clients start from it or answer with the difference from its soft labels."""

DIGEST_BATCH = 32


class Consensus(TrainedStudent):
    """A protocol in which clients' soft labels of shared references are averaged, and the mean teaches the server.

    In every round the clients train on their own data and label a fresh subset of the public histories. The server's
    global student *digests* what it makes of the mean.

    Under protection clients release the difference of their soft labels from those of the global student, which
    everybody knows, along few directions (`fedkd.distillation.score_directions`). The mean is then the global student's
    soft labels plus the mean difference times the share of signal in the sum, and the server's step is smaller
    likewise.

    Attributes
    ----------
    references : int
        Public histories that are labelled in a round, drawn anew; all of them where there are fewer.
    panel : int
        Number of items that are scored, the most popular ones; 0 for all. Under protection it is at most the number for
        which the noise leaves room.
    transfer : CentralTraining
        Training on the public histories: of the global student before the first round, and of a client's own student
        before its first one.
    digest_epochs : int
        Passes over the consensus in a round.
    digest_learning_rate : float
        Learning rate of Adam in these passes.
    local : LocalTraining
        Private training in a round.
    clip : float
        Under protection: the largest Euclidean norm of the difference of one client's soft labels from the global
        student's soft labels of the same references.
    """

    learns_from_public: ClassVar[bool] = True
    tunable: ClassVar[Mapping[str, tuple[float, ...]]] = tunable_training("transfer")
    references: int = Field(256, ge=1)
    panel: int = Field(0, ge=0)
    transfer: CentralTraining = CentralTraining()
    digest_epochs: int = Field(2, ge=1)
    digest_learning_rate: float = Field(0.003, gt=0)
    local: LocalTraining = LocalTraining(epochs=2, learning_rate=0.001)
    clip: float = Field(2.0, gt=0)

    def soft_labels(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what clients answer of scores, shape [..., references, panel]: by default the scores themselves."""
        return scores

    def consensus(self, mean: NDArray[Any]) -> NDArray[np.float32]:
        """Return what is taught of the mean of soft labels, shape [references, panel]: by default the mean itself."""
        return mean.astype(np.float32)

    @abstractmethod
    def distance(self, scores: Tensor, consensus: Tensor) -> Tensor:
        """Return the loss of digesting, from scores and consensus of shape [..., panel], shape [...]."""

    def server_models(self) -> Mapping[str, ModelConfig]:
        """Return the models on the server that learn the consensus, by the prefix of their arrays in a state."""
        return {STUDENT: self.model}

    def server_model(self, state: State, prefix: str) -> Recommender:
        """Return a model on the server."""
        blank = self.server_models()[prefix].build(state.setup.public.catalogue, seed=0)
        return load_arrays(blank, part(state, prefix)).eval()

    def begin(self, setup: Setup) -> State:
        """Train the server's models on the public users."""
        histories, arrays = nonempty(setup.public.histories), dict[str, NDArray[Any]]()
        if not len(histories):
            raise UserError(
                f"algorithm {self.name} needs public users, whose histories everyone scores, and there are none; "
                "set partition.public-fraction above 0, for example 0.1"
            )
        for prefix, config in self.server_models().items():
            blank = config.build(setup.public.catalogue, setup.seed)
            model = train_centrally(blank, histories, self.transfer, stream(setup.seed, "transfer"))
            arrays |= named(prefix, model_arrays(model))
        return State(setup, arrays)

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send what clients begin with, and the references to label."""
        del rng
        shared, reference = self.sent(state), self._reference(state.setup, round_number)
        if (budget := state.setup.answer_budget) is not None:
            shared |= named(COMMON, export_arrays(self.global_student(state)))
            shared[DIRECTIONS] = released_directions(self._known(state, reference), budget)
        return Asks(round_number, clients, shared, reference=reference)

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return the soft labels of every reference, or along the directions that were sent."""
        assert asks.reference is not None
        shape = (len(asks.shared.get(DIRECTIONS, asks.reference.histories)), len(asks.reference.panel))
        return {"scores": Spec(Kind.SCORES, shape, clip=self.clip, weighted=True)}

    @abstractmethod
    def sent(self, state: State) -> dict[str, NDArray[Any]]:
        """Server: return the arrays from which clients begin a round."""

    @abstractmethod
    def begun(self, cohort: Cohort, asks: Asks) -> tuple[Recommender, Parameters]:
        """Clients: return every client's student before private training, and the computation."""

    def kept(self, cohort: Cohort, parameters: Parameters) -> Cohort:
        """Clients: return the cohort with what clients keep of their trained students, by default nothing."""
        del parameters
        return cohort

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Begin, train on own data, and label the references."""
        assert asks.reference is not None
        student, parameters = self.begun(cohort, asks)
        panel = torch.from_numpy(asks.reference.panel.astype(np.int64))
        train_locally(student, parameters, cohort, self.local, asks.round)
        history = histories_of(student, asks.reference)
        labels = self.soft_labels(predict(student, parameters, history, shared=True)[..., panel].numpy())
        if DIRECTIONS in asks.shared:
            common = scores_of(self.common(asks, cohort.data.train.catalogue), asks.reference)
            labels = along(asks, labels - self.soft_labels(common))
        fingerprint = asks.reference.fingerprint
        return self.kept(cohort, parameters), Answers(asks.round, cohort.clients, {"scores": labels}, fingerprint)

    def pool(self, state: State, estimates: Estimates) -> State:
        """Add up the soft labels."""
        return pooled(state, estimates).with_arrays(round=np.array(estimates.round))

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Make the consensus of the mean, and let the server's models digest it."""
        state, total, count = taken(state, "scores")
        if count == 0:
            return state, {}
        reference = self._reference(state.setup, int(state.arrays["round"]))
        signal, mean = signal_share(total.value, total.std), np.asarray(shrunk(total.value, total.std) / count)
        if (budget := state.setup.answer_budget) is not None:
            known = self._known(state, reference)
            mean = np.asarray(known + released_directions(known, budget).T @ mean.astype(np.float32))
        wanted, distance = self.consensus(mean), dict[str, float]()
        for prefix in self.server_models():
            model = self.server_model(state, prefix)
            distance[prefix] = self._digest_centrally(model, reference, torch.from_numpy(wanted), signal, rng)
            state = state.with_arrays(**named(prefix, model_arrays(model)))
        state = state.with_arrays(**self.remembered(reference, wanted))
        return state, {"distance": distance[STUDENT], "signal": signal}

    def remembered(self, reference: Reference, consensus: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Server: return what of a round's consensus the next round needs, by default nothing."""
        del reference, consensus
        return {}

    def common(self, asks: Asks, catalogue: Catalogue) -> Recommender:
        """Return the global student as it was sent."""
        common = under(COMMON, asks.shared)
        return load_arrays(self.blank_student(catalogue), common).eval()

    def _reference(self, setup: Setup, round_number: int) -> Reference:
        histories = nonempty(setup.public.histories)
        rng = stream(setup.seed, "references", round_number)
        rows = np.sort(rng.permutation(len(histories))[: self.references])
        return within_budget(Reference(histories.take(rows), setup.popular[: self.panel or None]), setup)

    def _known(self, state: State, reference: Reference) -> NDArray[np.float32]:
        """Return the soft labels of the global student as it is sent."""
        student = self.global_student(state)
        return self.soft_labels(scores_of(load_arrays(student, export_arrays(student)).eval(), reference))

    def _digest_centrally(
        self, model: Recommender, reference: Reference, consensus: Tensor, signal: float, rng: np.random.Generator
    ) -> float:
        """Train a model of the server towards the consensus, in place; return its distance before that."""
        history = histories_of(model, reference)
        panel = torch.from_numpy(reference.panel.astype(np.int64))

        def loss_of(rows: Rows) -> Tensor:
            scores = model(beside(model, history[rows]))[:, beside(model, panel)]
            return self.distance(scores, beside(model, consensus[rows])).mean()

        with torch.no_grad():
            before = float(loss_of(np.arange(len(history))))
        rate = signal * self.digest_learning_rate
        if rate > 0:
            training = CentralTraining(
                epochs=self.digest_epochs, learning_rate=rate, batch_size=DIGEST_BATCH, weight_decay=0.0
            )
            train_steps(model, loss_of, len(history), training, rng)
        return before


def scores_of(student: Recommender, reference: Reference) -> NDArray[np.float32]:
    """Return a student's scores of a reference, shape [references, panel]."""
    history = histories_of(student, reference)
    with torch.no_grad():
        scores: NDArray[np.float32] = student(history)[:, torch.from_numpy(reference.panel.astype(np.int64))].numpy()
    return scores
