"""Protocols: a frozen set of parameters and four verbs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedkd.aggregation.answer_budget import AnswerBudget
from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.messages.types import Answers, Asks, Estimates, Spec
from fedkd.models.arrays import export_arrays, load_arrays
from fedkd.models.base import ModelConfig, Recommender, score
from fedkd.random_streams import stream
from fedkd.registry import Choice
from fedkd.training.cohort import Cohort

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Setup:
    """The public facts of a run that the server knows before the first round.

    Attributes
    ----------
    public : Interactions
        Training histories of the public users, over the whole catalogue; possibly no users at all.
    num_clients : int
        How many clients are registered (a public constant).
    num_private_users : int
        How many private users they hold together (a public constant).
    num_rounds : int
        How many rounds are planned.
    seed : int
        The run's seed.
    participants : int
        How many clients are asked in a round (a public constant); 0 means all of them.
    answer_budget : AnswerBudget, optional
        Public bounds of an answer: with them it is one array of limited norm, and few numbers are worth asking for.
    popularity : ndarray, optional
        Popularity of every item with private users too, shape [items], where the run releases it.
    ordered : bool
        Whether models are measured by what users did last, so that the order of histories may tell something.
    """

    public: Interactions
    num_clients: int
    num_private_users: int
    num_rounds: int
    seed: int
    participants: int = 0
    answer_budget: AnswerBudget | None = None
    popularity: NDArray[np.float64] | None = None
    ordered: bool = False

    @property
    def popular(self) -> NDArray[np.int32]:
        """All items, the most popular first according to the server's data, ties by position."""
        if self.popularity is None:
            return self.public.most_popular()
        return np.argsort(-self.popularity, kind="stable").astype(np.int32)


@dataclass(frozen=True)
class State:
    """The state of a protocol on the server: only named arrays, so that it can be saved.

    Attributes
    ----------
    setup : Setup
        The public facts of the run.
    arrays : mapping of str to ndarray
        Models, accumulated sums, caches, counts.
    """

    setup: Setup
    arrays: Mapping[str, NDArray[Any]]

    def with_arrays(self, **arrays: NDArray[Any]) -> "State":
        """Return a state with some arrays replaced or added."""
        return replace(self, arrays={**self.arrays, **arrays})


class Protocol(Choice, ABC):
    """A federated distillation protocol: its hyper-parameters, and the work of server and clients in a round.

    A protocol keeps nothing outside the state. Noise, quantisation, byte counts, checkpoints and metrics are added
    around its methods, not in them. A protocol of your own is a subclass in your own module; ``algorithm.name`` takes
    its ``package.module:Class``.
    """

    centralises: ClassVar[bool] = True
    """Whether ``centralised`` returns a model."""

    learns_from_public: ClassVar[bool] = False
    """Whether teacher and student of a run in which no client answers are models of the public users."""

    tunable: ClassVar[Mapping[str, tuple[float, ...]]] = {}
    """Settings of `undistilled` to be tuned, with factors of their values, 1 the first; none where it has no model.

    The name of an inner setting follows that of its table and a dot.
    """

    name: str

    @abstractmethod
    def begin(self, setup: Setup) -> State:
        """Return the state before the first round; a ``UserError`` where the setup makes the protocol impossible."""

    @abstractmethod
    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Server: return the question to these clients."""

    @abstractmethod
    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Both: return the form of an answer to these asks."""

    @abstractmethod
    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Clients: take in the server's arrays, train privately, and answer with one row per client."""

    @abstractmethod
    def pool(self, state: State, estimates: Estimates) -> State:
        """Server: add the sums of one round, or of a part of its clients, to the state, in any order."""

    @abstractmethod
    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Server: distil the pooled sums into teacher and global student."""

    @abstractmethod
    def teacher(self, state: State) -> Recommender | None:
        """Return the server's large model, or None where the protocol has none."""

    @abstractmethod
    def student(self, state: State) -> Recommender | None:
        """Return the global student, or None where every client keeps its own."""

    def invite(self, state: State, clients: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of ``clients`` that have something to contribute; all by default."""
        del state
        return clients

    def deploy(self, state: State, clients: NDArray[np.int64], round_number: int) -> Asks:
        """Server: return all that devices need in order to recommend; by default the global student, as float16."""
        student = self.student(state)
        arrays = {} if student is None else export_arrays(student)
        return Asks(round_number, clients, shared=arrays)

    @abstractmethod
    def predict(self, cohort: Cohort, asks: Asks) -> NDArray[np.float32]:
        """Clients: score the catalogue for every user's history on the device, shape [users, items]."""

    @abstractmethod
    def centralised(self, train: Interactions, setup: Setup) -> Recommender | None:
        """Return the student trained on everyone's histories in one place; None where the protocol has none."""

    def centralised_bytes(self, train: Interactions, setup: Setup) -> int:
        """Return about the memory in which ``centralised`` works, beside its data; 0 where it is little or unknown."""
        del train, setup
        return 0

    def centralised_teacher(self, train: Interactions, setup: Setup) -> Recommender | None:
        """Return the teacher trained by gradient on everyone's histories in one place; None without such a teacher."""
        del train, setup
        return None

    def unanswered(self, setup: Setup) -> State:
        """Return the state after a round in which no client answers: what public users alone teach."""
        return self.teach(self.begin(setup), stream(setup.seed, "teach", 1))[0]

    @property
    def neural_teacher(self) -> bool:
        """Whether the run's teacher is a neural one, which ``centralised_teacher`` trains for comparison."""
        return False

    @property
    def trained_by_steps(self) -> bool:
        """Whether models of a run are trained by steps, whose size can be too large."""
        return True

    @property
    def undistilled_when_silent(self) -> bool:
        """Whether the student of a run in which no client answers is the one without distillation."""
        return True

    def undistilled(self, setup: Setup) -> Recommender | None:
        """Return the global student as the public users' hard labels alone make it, with the run's own settings.

        By default it is the student of a run in which no client answers. A protocol in which that one is the distillate
        of another model, or is not trained at all, trains it here.
        """
        return self.student(self.unanswered(setup))

    def unprotectable(self) -> str | None:
        """Return why answers cannot be protected; None where they can, as they sum and every spec has a clip."""
        return None

    def ballot(self) -> tuple[int, int] | None:
        """Return how many votes a client casts in a round and among how many items (0: all); None without votes."""
        return None

    def profiled(self) -> bool:
        """Say whether clients may have students of different shapes, each the ``model`` of its cohort."""
        return False

    def masks(self) -> bool:
        """Say whether a secure sum can hide single answers, because the server needs only their sum."""
        return True

    def kept_bytes(self, model: ModelConfig | None, catalogue: Catalogue) -> int:
        """Return about how many bytes of models a client keeps from one round to the next, as its profile has them."""
        del model, catalogue
        return 0

    def releases(self, num_rounds: int) -> int:
        """Return the largest number of releases in a number of rounds to which one client contributes."""
        return num_rounds

    def withdraw(self, state: State, clients: NDArray[np.int64]) -> State:
        """Return the state in which some clients will be asked to take back their contributions.

        Raises
        ------
        UserError
            The protocol does not keep contributions apart; only a new run without the clients removes them.
        """
        raise UserError(
            f"{self.name} cannot separate contributions again, so clients {clients.tolist()} cannot withdraw; "
            "run again without them, or use the residual protocol"
        )

    def changed(self, state: State, clients: NDArray[np.int64]) -> State:
        """Return the state in which some clients, whose histories changed, may answer again; as it is by default."""
        del clients
        return state

    def admit(self, state: State, users: int) -> State:
        """Return the state with further clients of one user each, who are asked next.

        Raises
        ------
        UserError
            The protocol does not keep contributions apart; only a new run takes in further clients.
        """
        del state
        raise UserError(
            f"{self.name} mixes contributions, so a finished run cannot take in {users} more people; begin a new run, "
            "or use the residual protocol"
        )

    def contributors(self, state: State) -> NDArray[np.int64]:
        """Return the clients whose contributions ``withdraw`` can have taken back; none by default."""
        del state
        return np.zeros(0, np.int64)


class GlobalStudent(Protocol):
    """A protocol that ends in one student for everyone, which recommends on the devices."""

    @abstractmethod
    def blank_student(self, catalogue: Catalogue) -> Recommender:
        """Return a student of the right shape for the arrays that ``deploy`` sends."""

    def restored_student(self, catalogue: Catalogue, arrays: Mapping[str, NDArray[Any]]) -> Recommender:
        """Return the student that some arrays are, of any float type."""
        return load_arrays(self.blank_student(catalogue), arrays)

    def predict(self, cohort: Cohort, asks: Asks) -> NDArray[np.float32]:
        """Clients: score the catalogue for every user's history with the deployed student."""
        student = self.restored_student(cohort.data.history.catalogue, asks.shared)
        return score(student, cohort.data.history.histories)
