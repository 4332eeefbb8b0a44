"""FedAvg of the student, in which parameters travel instead of soft labels: a baseline for distillation."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedkd.distillation.score_directions import signal_share
from fedkd.messages.types import Answers, Asks, Estimates, Kind, Spec
from fedkd.models.arrays import count_parameters, export_arrays, load_arrays
from fedkd.models.base import Recommender
from fedkd.protocols.base import Metrics, Setup, State
from fedkd.protocols.server_optimiser import adam_moved, moved, pooled, student_arrays, taken
from fedkd.protocols.trained import TrainedStudent, tunable_training
from fedkd.random_streams import stream
from fedkd.training.cohort import Cohort
from fedkd.training.engine import replicate
from fedkd.training.hard_labels import train_centrally
from fedkd.training.local import train_locally, weights_of
from fedkd.training.options import CentralTraining, LocalTraining


class FedAvg(TrainedStudent):
    """Federated averaging (McMahan et al., Communication-efficient learning of deep networks, AISTATS 2017).

    This is their algorithm 1. Every client trains the global student on its own histories and answers with the change
    of its parameters times its number of interactions ``n``. The server moves the student by the ``n``-weighted mean
    change, or takes it as the gradient of Adam (Reddi et al., Adaptive federated optimization, ICLR 2021), which is the
    default. Where a client has one user, the plain average of a few local steps moves a student that begins with random
    numbers hardly at all. Under protection all clients have the same weight.

    Attributes
    ----------
    pretraining : CentralTraining
        Training of the student on the public users before the first round; the paper has none. Under protection there
        are too few rounds for a student that begins with random numbers.
    local : LocalTraining
        Training on the clients; one plain gradient step where a client has one user.
    server_optimiser : str
        ``average``, or ``adam`` on the mean change.
    server_learning_rate : float
        Step size of the server: 1 is the plain average; 0.03 suits Adam. Under protection the average is that of
        clipped changes, and 10 suits it.
    clip : float
        Under protection: the largest Euclidean norm of one client's change. Clients then have the same weight, and the
        sum is divided by the planned number of participants. The more noise the sum has, the smaller is the step.
    """

    tunable: ClassVar[Mapping[str, tuple[float, ...]]] = tunable_training("central")
    name: Literal["fedavg"] = "fedavg"
    pretraining: CentralTraining = CentralTraining(epochs=0)
    local: LocalTraining = LocalTraining(epochs=1, learning_rate=1.0, optimiser="sgd")
    server_optimiser: Literal["average", "adam"] = "adam"
    server_learning_rate: float = Field(0.03, gt=0)
    clip: float = Field(0.3, gt=0)

    def begin(self, setup: Setup) -> State:
        """Build the global student, from which every client starts."""
        student = self.model.build(setup.public.catalogue, setup.seed)
        if self.pretraining.epochs:
            train_centrally(student, setup.public.histories, self.pretraining, stream(setup.seed, "pretrain"))
        return State(setup, student_arrays(student))

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send the global student."""
        del rng
        return Asks(round_number, clients, export_arrays(self.global_student(state)))

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return the change of all parameters, one after the other."""
        return {"change": Spec(Kind.PARAMETERS, (count_parameters(asks.shared),), clip=self.clip, weighted=True)}

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Train the student on every client, and answer with the change of its parameters.

        A student that is too large for float16, in which it would travel, has diverged: its change is not finite.
        """
        student = load_arrays(self.blank_student(cohort.data.train.catalogue), asks.shared)
        parameters = replicate(student, len(cohort))
        train_locally(student, parameters, cohort, self.local, asks.round)
        changes = [
            (parameters[name] - start.detach()).numpy().reshape(len(cohort), -1)
            for name, start in student.named_parameters()
        ]
        whole = np.concatenate(changes, axis=1)
        whole[np.abs(whole).max(axis=1) > np.finfo(np.float16).max] = np.nan
        values = {"change": whole}
        return cohort, Answers(asks.round, cohort.clients, values, weights=weights_of(cohort))

    def pool(self, state: State, estimates: Estimates) -> State:
        """Add up the weighted changes."""
        return pooled(state, estimates)

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Move the student by the mean change."""
        del rng
        state, change, weight = taken(state, "change")
        if weight == 0:
            return state, {"change": 0.0}
        mean = change.value / weight
        step = moved if self.server_optimiser == "average" else adam_moved
        signal = signal_share(change.value, change.std)
        taught = step(state, _shaped(mean, self.global_student(state)), signal * self.server_learning_rate)
        return taught, {"change": float(np.linalg.norm(mean)), "signal": signal}

    @property
    def undistilled_when_silent(self) -> bool:
        """Return false: a silent run leaves the student untrained."""
        return False

    def undistilled(self, setup: Setup) -> Recommender | None:
        """Return the student trained on the public users as the centralised one is trained on everyone."""
        return self.centralised(setup.public, setup)


def _shaped(flat: NDArray[np.float64], student: Recommender) -> dict[str, NDArray[np.float64]]:
    """Return the parts of a flat array that belong to the student's parameters."""
    shapes = {name: tuple(parameter.shape) for name, parameter in student.named_parameters()}
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    parts = np.split(flat, ends[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
