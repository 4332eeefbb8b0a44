"""FedAvg of the student: parameters travel, no soft labels; the bound that distillation is compared with."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedkd.distillation.score_directions import signal_share
from fedkd.messages.types import Answers, Asks, Kind, Spec
from fedkd.models.arrays import export_arrays, load_arrays
from fedkd.models.base import Recommender
from fedkd.protocols.base import Metrics, Setup, State
from fedkd.protocols.server_optimiser import adam_moved, moved, student_arrays, summed, taken_sums
from fedkd.protocols.trained import EQUAL, TrainedStudent, equally_weighted, total_weight
from fedkd.random_streams import stream
from fedkd.training.cohort import Cohort
from fedkd.training.engine import replicate
from fedkd.training.hard_labels import train_centrally
from fedkd.training.local import train_locally, weights_of
from fedkd.training.options import CentralTraining, LocalTraining


class FedAvg(TrainedStudent):
    """McMahan et al., Communication-efficient learning of deep networks, AISTATS 2017, algorithm 1.

    Every client trains the global student on its own histories and answers with the change of its parameters times its
    number of interactions ``n``; the server moves the student by the ``n``-weighted mean change, or takes that for the
    gradient of Adam (Reddi et al., Adaptive federated optimization, ICLR 2021). Under noise clients weigh the same.

    Attributes
    ----------
    pretraining : CentralTraining
        Of the student, on the public users, before the first round; the paper has none. Under protection
        rounds are few, too few for a student that begins with random numbers.
    local : LocalTraining
        Training on the clients.
    server_optimiser : str
        ``average``, or ``adam`` on the mean change.
    server_learning_rate : float
        Step size of the server: 1 is the plain average; Adam wants about 0.01. Under protection the average is that of
        clipped changes, and 10 suits it.
    clip : float
        Under protection: the largest Euclidean norm of one client's change. Clients then weigh the same, and the sum
        is divided by the planned number of participants; the step is as much smaller as the sum holds noise.
    """

    name: Literal["fedavg"] = "fedavg"
    pretraining: CentralTraining = CentralTraining(epochs=0)
    local: LocalTraining = LocalTraining()
    server_optimiser: Literal["average", "adam"] = "average"
    server_learning_rate: float = Field(1.0, gt=0)
    clip: float = Field(0.3, gt=0)

    def begin(self, setup: Setup) -> State:
        """Build the student that everyone starts from."""
        student = self.model.build(setup.public.num_items, setup.seed)
        if self.pretraining.epochs:
            train_centrally(student, setup.public.histories, self.pretraining, stream(setup.seed, "pretrain"))
        return State(setup, student_arrays(student))

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send the global student, and whether clients weigh the same."""
        del rng
        shared = export_arrays(self.global_student(state))
        return Asks(round_number, clients, equally_weighted(shared, state.setup))

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return the change of all parameters, one after the other, and the weight of the sum."""
        size = sum(array.size for name, array in asks.shared.items() if name != EQUAL)
        change = {"change": Spec(Kind.PARAMETERS, (size,), clip=self.clip)}
        return change if EQUAL in asks.shared else {**change, "weight": Spec(Kind.STATISTICS, ())}

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Train the student on every client, and answer with what changed."""
        student = load_arrays(self.blank_student(cohort.data.train.num_items), asks.shared)
        parameters = replicate(student, len(cohort))
        train_locally(student, parameters, cohort, self.local, asks.round)
        changes = [
            (parameters[name] - start.detach()).numpy().reshape(len(cohort), -1)
            for name, start in student.named_parameters()
        ]
        weight = np.ones(len(cohort)) if EQUAL in asks.shared else weights_of(cohort)
        change = np.concatenate(changes, axis=1) * weight[:, None].astype(np.float32)
        values = {"change": change} if EQUAL in asks.shared else {"change": change, "weight": weight}
        return cohort, Answers(asks.round, cohort.clients, values)

    def pool(self, state: State, answers: Answers) -> State:
        """Add up the weighted changes."""
        return summed(state, answers.values)

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Move the student by the mean change."""
        del rng
        state, sums = taken_sums(state)
        weight = total_weight(sums, state.setup)
        if weight == 0:
            return state, {"change": 0.0}
        mean = sums["change"] / weight
        step = moved if self.server_optimiser == "average" else adam_moved
        signal = signal_share(sums["change"], self.clip * state.setup.noise)
        taught = step(state, _shaped(mean, self.global_student(state)), signal * self.server_learning_rate)
        return taught, {"change": float(np.linalg.norm(mean)), "signal": signal}


def _shaped(flat: NDArray[np.float64], student: Recommender) -> dict[str, NDArray[np.float64]]:
    """Return the parts of a flat array that belong to the student's parameters."""
    shapes = {name: tuple(parameter.shape) for name, parameter in student.named_parameters()}
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    parts = np.split(flat, ends[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
