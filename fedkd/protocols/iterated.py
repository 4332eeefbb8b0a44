"""Iterated residual distillation for students that are not linear, such as autoencoders and convolutions."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fedkd.distillation.gauss_newton import parameter_change
from fedkd.distillation.residual import history_reference
from fedkd.distillation.score_directions import shrunk, signal_share
from fedkd.errors import UserError
from fedkd.messages.types import Answers, Asks, Estimates, Kind, Reference, Spec
from fedkd.models.arrays import export_arrays, load_arrays
from fedkd.models.base import Recommender
from fedkd.protocols.base import Metrics, Setup, State
from fedkd.protocols.server_optimiser import adam_moved, pooled, student_arrays, taken
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
from fedkd.training.cohort import Cohort
from fedkd.training.engine import predict, replicate
from fedkd.training.hard_labels import mean_gradient, nonempty, train_centrally
from fedkd.training.local import train_locally, weights_of
from fedkd.training.options import CentralTraining, LocalTraining

VIEWS = 20
"""Random draws of shown items over which the public gradient is averaged."""


class Iterated(TrainedStudent):
    """Distillation of score changes from private training, on shared histories in many rounds.

    In a round a client makes one gradient step on its own history and answers with the residual: its scores of the
    references after the step, less those before. To first order the mean residual ``r`` is ``J g``, the Jacobian of the
    scores in the parameters times the mean gradient, so the server asks which change of parameters explains it best,
    ``argmin_D |J D - r|^2``, and gives it to Adam as FedAdam (Reddi et al., 2021) gives the gradient. More local steps
    make answers worse: clients drift apart, and the mean of their residuals is no longer a gradient.

    Under protection there must be few rounds. Clients release the residual along few directions
    (`fedkd.distillation.score_directions`), and the server uses each round for many steps: it trains on the public
    users, and corrects the gradient in every step by the difference of private to public gradient at the start (Shamir,
    Srebro & Zhang, Communication-efficient distributed optimization using an approximate Newton-type method, ICML 2014,
    equation 13). In directions that hold only noise the student stays as it is.

    Attributes
    ----------
    references : int
        Public histories that everyone scores; all of them where there are fewer.
    panel : int
        Number of popular items that are scored; 0 for all. Under protection it is at most the number for which the
        noise leaves room.
    local : LocalTraining
        Private training; one plain gradient step is best.
    pretraining : CentralTraining
        Training of the student on the public users before the first round.
    learning_rate : float
        Learning rate of Adam in the first round; it falls to zero over the planned rounds along a cosine. 0.03 suits 40
        rounds, 0.01 suits 160.
    weight_decay : float
        L2 penalty of Adam.
    solver_steps : int
        Conjugate gradient steps of the least-squares problem.
    clip : float
        Under protection: the largest Euclidean norm of one client's residual. Clients then have the same weight.
    corrected : CentralTraining
        Under protection: training on the public users in a round.
    """

    tunable: ClassVar[Mapping[str, tuple[float, ...]]] = tunable_training("pretraining")
    name: Literal["iterated"] = "iterated"
    references: int = Field(128, ge=1)
    panel: int = Field(0, ge=0)
    local: LocalTraining = LocalTraining(epochs=1, learning_rate=0.1, batch_size=4096, optimiser="sgd")
    pretraining: CentralTraining = CentralTraining(epochs=150)
    learning_rate: float = Field(0.03, gt=0)
    weight_decay: float = Field(2e-4, ge=0)
    solver_steps: int = Field(60, ge=1)
    clip: float = Field(0.6, gt=0)
    corrected: CentralTraining = CentralTraining(epochs=16, learning_rate=0.001)

    @model_validator(mode="after")
    def _gradients_of_whole_histories(self) -> Self:
        if {self.local.target, self.corrected.labels.target} != {"history"}:
            raise ValueError(
                "private and public gradients are compared, and both are those of whole histories; set local.target "
                "and corrected.labels.target to history"
            )
        return self

    def begin(self, setup: Setup) -> State:
        """Train the student on the public users."""
        if not nonempty(setup.public.histories).lengths.size:
            raise UserError(
                "algorithm iterated needs public users, whose histories everyone scores, and there are none; "
                "set partition.public-fraction above 0, for example 0.1"
            )
        blank = self.model.build(setup.public.catalogue, setup.seed)
        student = train_centrally(blank, setup.public.histories, self.pretraining, stream(setup.seed, "pretrain"))
        return State(setup, student_arrays(student) | {"rounds-taught": np.array(0)})

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send the student and the references, and under protection the directions of the scores to release."""
        del rng
        shared, reference = export_arrays(self.global_student(state)), self._reference(state.setup)
        return Asks(round_number, clients, {**shared, **self._directions(state, reference)}, reference=reference)

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return the change of the scores on every reference, or along the directions that were sent."""
        assert asks.reference is not None
        shape = (len(asks.shared.get(DIRECTIONS, asks.reference.histories)), len(asks.reference.panel))
        return {"residual": Spec(Kind.SCORES, shape, clip=self.clip, weighted=True)}

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Train the student on every client, and answer with the change of its scores."""
        assert asks.reference is not None
        student = load_arrays(self.blank_student(cohort.data.train.catalogue), asks.shared).eval()
        parameters = replicate(student, len(cohort))
        before = _reference_scores(student, replicate(student, 1), asks.reference)
        train_locally(student, parameters, cohort, self.local, asks.round)
        after = _reference_scores(student, parameters, asks.reference)
        values = {"residual": along(asks, after - before)}
        fingerprint, weights = asks.reference.fingerprint, weights_of(cohort, 0.5)
        return cohort, Answers(asks.round, cohort.clients, values, fingerprint, weights=weights)

    def pool(self, state: State, estimates: Estimates) -> State:
        """Add up the weighted residuals."""
        return pooled(state, estimates)

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Distil the mean residual into the student."""
        state, total, weight = taken(state, "residual")
        if weight == 0:
            return state, {}
        student, signal = self.global_student(state), signal_share(total.value, total.std)
        mean = shrunk(total.value, total.std) / (weight * self.local.learning_rate)
        residual = torch.from_numpy(mean).float()
        change, explained = self._explaining(state, student, residual)
        step = self._corrected if total.std else self._stepped
        state = step(state, student, change, rng)
        count = np.array(int(state.arrays["rounds-taught"]) + 1)
        metrics = {"residual": float(residual.square().mean().sqrt()), "explained": explained, "signal": signal}
        return state.with_arrays(**{"rounds-taught": count}), metrics

    def _explaining(
        self, state: State, student: Recommender, residual: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], float]:
        """Return the change of parameters that explains a mean residual, and the share of it that is explained."""
        reference = self._reference(state.setup)
        sent = self._directions(state, reference)
        directions = torch.from_numpy(sent[DIRECTIONS]) if sent else None
        return parameter_change(student, *_inputs(student, reference), residual, self.solver_steps, directions)

    def _reference(self, setup: Setup) -> Reference:
        items = setup.public.num_items
        count = min(self.references, setup.public.num_users)
        return within_budget(history_reference(setup.public, setup.popular, count, self.panel or items), setup)

    def _directions(self, state: State, reference: Reference) -> dict[str, NDArray[np.float32]]:
        """Return the directions of the round, from the scores of the student that is sent; none without a budget."""
        if (budget := state.setup.answer_budget) is None:
            return {}
        sent = self.global_student(state)
        sent = load_arrays(sent, export_arrays(sent)).eval()
        return {DIRECTIONS: released_directions(_reference_scores(sent, replicate(sent, 1), reference)[0], budget)}

    def _rate(self, state: State) -> float:
        done = min(1.0, int(state.arrays["rounds-taught"]) / state.setup.num_rounds)
        return self.learning_rate * (1 + math.cos(math.pi * done)) / 2

    def _stepped(
        self, state: State, student: Recommender, private: Mapping[str, torch.Tensor], rng: np.random.Generator
    ) -> State:
        """Make a step of Adam along the mean change of private and public users, weighted by their numbers."""
        gradients = mean_gradient(student, state.setup.public.histories, self.local.visible, rng)
        share = _public_share(state.setup)
        wanted = {name: ((1 - share) * private[name] - share * g).numpy() for name, g in gradients.items()}
        return adam_moved(state, wanted, self._rate(state), self.weight_decay)

    def _corrected(
        self,
        state: State,
        student: Recommender,
        private: Mapping[str, torch.Tensor],
        rng: np.random.Generator,
    ) -> State:
        """Train on the public users, corrected by the difference between private and public gradient."""
        histories, part = state.setup.public.histories, 1 - _public_share(state.setup)
        gradients = mean_gradient(student, histories, self.local.visible, rng, VIEWS)
        correction = {name: part * (private[name] + g) for name, g in gradients.items()}
        trained = train_centrally(student, histories, self.corrected, rng, correction)
        return state.with_arrays(**student_arrays(trained))


def _public_share(setup: Setup) -> float:
    return setup.public.num_users / (setup.public.num_users + setup.num_private_users)


def _inputs(model: Recommender, reference: Reference) -> tuple[torch.Tensor, torch.Tensor]:
    return histories_of(model, reference), torch.from_numpy(reference.panel.astype(np.int64))


def _reference_scores(
    model: Recommender, parameters: Mapping[str, torch.Tensor], reference: Reference
) -> NDArray[np.float32]:
    """Return the scores that every student gives the panel, shape [students, references, panel]."""
    history, panel = _inputs(model, reference)
    scores: NDArray[np.float32] = predict(model, dict(parameters), history, shared=True)[..., panel].numpy()
    return scores
