"""Training of every client on its own, a baseline that shows the gain from taking part."""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from fedkd.data.catalogue import Catalogue
from fedkd.messages.types import Answers, Asks, Estimates, Spec
from fedkd.models.base import ModelConfig, Recommender
from fedkd.options import Searched
from fedkd.protocols.base import Metrics, Setup, State
from fedkd.protocols.trained import OwnStudents
from fedkd.training.cohort import Cohort
from fedkd.training.local import keep_students, own_students, students_scores, train_locally
from fedkd.training.options import LocalTraining


class LocalOnly(OwnStudents):
    """Separate training of every client's student on the client's own histories, from the same start.

    Attributes
    ----------
    local : LocalTraining
        Training in a round.
    keep : bool
        Whether clients keep their students between rounds. Without it nothing stays on a disk: a student is trained
        when it is measured, through all rounds so far, and then forgotten.
    """

    name: Literal["local-only"] = "local-only"
    local: LocalTraining = LocalTraining()
    keep: Annotated[bool, Searched(())] = True

    def begin(self, setup: Setup) -> State:
        """Return an empty state: the server learns nothing."""
        return State(setup, {})

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send an empty request."""
        del state, rng
        return Asks(round_number, clients)

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return no arrays."""
        del asks
        return {}

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Continue training; the student stays with the client."""
        nothing = Answers(asks.round, cohort.clients, {})
        if not self.keep:
            return cohort.with_states(({},) * len(cohort)), nothing
        student = self.own_student(cohort)
        parameters = own_students(student, cohort)
        train_locally(student, parameters, cohort, self.local, asks.round)
        return keep_students(cohort, parameters, self.own_student(cohort)), nothing

    def pool(self, state: State, estimates: Estimates) -> State:
        """Return the state as it was."""
        del estimates
        return state

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Return the state as it was."""
        del rng
        return state, {}

    def student(self, state: State) -> Recommender | None:
        """Return None: every client keeps its own."""
        del state
        return None

    def unprotectable(self) -> str | None:
        """Return a message that there is nothing to protect."""
        return (
            "what clients learn stays with them, so there is no answer to protect; leave privacy.mode, privacy.epsilon "
            "and privacy.delta out"
        )

    def kept_bytes(self, model: ModelConfig | None, catalogue: Catalogue) -> int:
        """Return the bytes of a student, where it is kept."""
        return super().kept_bytes(model, catalogue) if self.keep else 0

    def predict(self, cohort: Cohort, asks: Asks) -> NDArray[np.float32]:
        """Score every user's history with the student of the user's client."""
        student = self.own_student(cohort)
        parameters = own_students(student, cohort)
        for number in () if self.keep else range(1, asks.round + 1):
            train_locally(student, parameters, cohort, self.local, number)
        return students_scores(student, parameters, cohort)
