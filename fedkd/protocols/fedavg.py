"""FedAvg of the student: parameters travel, no soft labels; the bound that distillation is compared with."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedkd.cohort.cohort import Cohort
from fedkd.cohort.engine import replicate
from fedkd.knowledge import Answers, Asks, Kind, Spec
from fedkd.protocols.base import Metrics, Setup, State, export_arrays, load_arrays
from fedkd.protocols.optimise import adam_moved, moved, student_arrays, summed, taken_sums
from fedkd.protocols.private import LocalTraining, interactions_of, train_privately
from fedkd.protocols.trained import TrainedStudent


class FedAvg(TrainedStudent):
    """McMahan et al., Communication-efficient learning of deep networks, AISTATS 2017, algorithm 1.

    Every client trains the global student on its own histories and answers with the change of its parameters times its
    number of interactions ``n``; the server moves the student by the ``n``-weighted mean change, or takes that for the
    gradient of Adam (Reddi et al., Adaptive federated optimization, ICLR 2021).

    Attributes
    ----------
    local : LocalTraining
        Training on the clients.
    server_optimiser : str
        ``average``, or ``adam`` on the mean change.
    server_learning_rate : float
        Step size of the server: 1 is the plain average; Adam wants about 0.01.
    """

    name: Literal["fedavg"] = "fedavg"
    local: LocalTraining = LocalTraining()
    server_optimiser: Literal["average", "adam"] = "average"
    server_learning_rate: float = Field(1.0, gt=0)

    def begin(self, setup: Setup) -> State:
        """Build the student that everyone starts from."""
        return State(setup, student_arrays(self.model.build(setup.public.num_items, setup.seed)))

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send the global student."""
        del rng
        return Asks(round_number, clients, export_arrays(self.global_student(state)))

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return one array per parameter, and the weight of the sums."""
        changes = {name: Spec(Kind.PARAMETERS, array.shape) for name, array in asks.shared.items()}
        return {**changes, "weight": Spec(Kind.STATISTICS, ())}

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Train the student on every client, and answer with what changed."""
        student = load_arrays(self.blank_student(cohort.data.train.num_items), asks.shared)
        parameters = replicate(student, len(cohort))
        train_privately(student, parameters, cohort, self.local, asks.round)
        weight = interactions_of(cohort)
        values = {
            name: (parameters[name] - start.detach()).numpy() * _tall(weight, start.dim())
            for name, start in student.named_parameters()
        }
        return cohort, Answers(asks.round, cohort.clients, {**values, "weight": weight})

    def pool(self, state: State, answers: Answers) -> State:
        """Add up the weighted changes."""
        return summed(state, answers.values)

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Move the student by the mean change."""
        del rng
        state, sums = taken_sums(state)
        weight = float(sums.pop("weight", np.zeros(())))
        if weight == 0:
            return state, {"change": 0.0}
        change = {name: total / weight for name, total in sums.items()}
        step = moved if self.server_optimiser == "average" else adam_moved
        norm = float(np.sqrt(sum(np.square(array).sum() for array in change.values())))
        return step(state, change, self.server_learning_rate), {"change": norm}


def _tall(weight: NDArray[np.float64], dimensions: int) -> NDArray[np.float32]:
    return weight.astype(np.float32).reshape(-1, *[1] * dimensions)
