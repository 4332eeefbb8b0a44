"""One-round federated EASE: the Gram matrix is additive, so one sum gives the centralised model exactly."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from fedkd.data.interactions import Interactions
from fedkd.distillation.closed_forms import Gram, ease_teacher, low_rank_student
from fedkd.errors import UserError
from fedkd.messages.types import Answers, Asks, Estimates, Kind, LowRankUpdate, Quantiser, Spec
from fedkd.models.arrays import model_arrays
from fedkd.models.base import Recommender
from fedkd.models.ease import EASE, gram
from fedkd.protocols.base import Metrics, Setup, State
from fedkd.protocols.low_rank import CLOSED_FORM, LowRankStudent
from fedkd.training.cohort import Cohort

MAX_ITEMS = 8192
"""Most items; the residual protocol suits larger catalogues."""


class FederatedEASE(LowRankStudent):
    """EASE (Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019) on a sum over clients.

    The sum is the Gram matrix ``G = sum of x_u^T x_u``. Every client answers once with the Gram matrix of its users,
    items x items. The teacher is EASE on the sum and the public users' own Gram matrix, the student its distillate of
    low rank. Under noise a client's matrix, whose norm is at most its number of interactions, is scaled to the clip.

    Attributes
    ----------
    regularisation : float
        EASE's ridge, in interactions.
    clip : float
        Under protection: the largest Frobenius norm of one client's matrix.
    """

    tunable: ClassVar[Mapping[str, tuple[float, ...]]] = CLOSED_FORM
    name: Literal["federated-ease"] = "federated-ease"
    regularisation: float = Field(default=500.0, gt=0)
    clip: float = Field(default=10.0, gt=0)

    def begin(self, setup: Setup) -> State:
        """Begin with the public users' Gram matrix."""
        items = setup.public.num_items
        if items > MAX_ITEMS:
            raise UserError(
                f"algorithm federated-ease sends {items} x {items} numbers a client; at most {MAX_ITEMS} items are "
                "sensible: raise data.min-item-interactions, or set algorithm.name=residual"
            )
        self.check_rank(items)
        return State(setup, {"gram": gram(setup.public), "due": np.ones(setup.num_clients, bool)})

    def invite(self, state: State, clients: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the clients that have not contributed yet."""
        return np.asarray(clients[state.arrays["due"][clients]])

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send only public sizes."""
        del rng
        setup = state.setup
        bounded = setup.answer_budget is not None
        sizes = np.array([setup.public.num_items, setup.num_private_users, bounded], np.int64)
        return Asks(round_number, clients, {"sizes": sizes})

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return the form of the answer: exact counts of pairs as whole numbers, or a bounded matrix."""
        items, users, bounded = (int(size) for size in asks.shared["sizes"])
        quantiser = None if bounded else Quantiser(1.0, 0, 1, users.bit_length(), signed=False)
        return {"gram": Spec(Kind.STATISTICS, (items, items), quantiser=quantiser, clip=self.clip)}

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Answer with the Gram matrix of every client's users."""
        rows = cohort.data.train.matrix(np.float64)
        scale = np.ones(len(cohort.owner))
        if asks.shared["sizes"][2]:
            norms = np.bincount(cohort.owner, cohort.data.train.histories.lengths, minlength=len(cohort))
            scale = np.minimum(1.0, self.clip / np.maximum(norms, 1.0))[cohort.owner]
        pairs = LowRankUpdate(sparse.csr_array(sparse.diags_array(scale) @ rows), sparse.csr_array(rows), cohort.owner)
        return cohort.with_states(({},) * len(cohort)), Answers(asks.round, cohort.clients, {"gram": pairs})

    def pool(self, state: State, estimates: Estimates) -> State:
        """Add the Gram matrices to the sum."""
        due = state.arrays["due"].copy()
        due[estimates.clients] = False
        return state.with_arrays(gram=state.arrays["gram"] + estimates.values["gram"].value, due=due)

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Solve EASE on the sum, without the directions that noise made negative."""
        del rng
        total = state.arrays["gram"]
        values, vectors = np.linalg.eigh((total + total.T) / 2)
        kept = values > 1e-9 * max(values[-1], 1.0)
        whole = Gram(np.sqrt(values[kept])[:, None] * vectors[:, kept].T)
        teacher = ease_teacher(whole, self.regularisation, dense=True)
        student = low_rank_student(teacher, whole, self.rank)
        factors = {f"student.{name}": array for name, array in model_arrays(student).items()}
        taught = state.with_arrays(weights=model_arrays(teacher)["weights"], **factors)
        return taught, {"contributors": int((~state.arrays["due"]).sum())}

    def teacher(self, state: State) -> Recommender | None:
        """Return EASE on the sum."""
        return EASE(state.arrays["weights"]) if "weights" in state.arrays else None

    def centralised(self, train: Interactions, setup: Setup) -> Recommender:
        """Return the student of everyone's histories in one place."""
        del setup
        whole = Gram.of_histories(train.matrix(np.float64))
        return low_rank_student(ease_teacher(whole, self.regularisation), whole, self.rank)
