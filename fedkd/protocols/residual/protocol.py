"""Residual distillation of a linear student, the default: every client answers once, and one sum teaches the server.

Private training changes the scores of a client's small linear student on shared references; the client answers with
this change. The sum over clients is a statistic of second order: it gives the teacher its curvature, and the student is
the teacher's closed-form distillate of low rank. Clients may arrive over many rounds. A client whose history changed
sends the difference to its last contribution, and a client that leaves takes it back.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.distillation.server_student import Look, ServerDistillation, beside_linear, observer, server_student
from fedkd.errors import UserError
from fedkd.messages.types import Answers, Asks, Estimates, Spec
from fedkd.models.arrays import load_arrays, model_arrays
from fedkd.models.base import Recommender
from fedkd.models.wide_deep import WideDeep
from fedkd.protocols.base import Metrics, Setup, State
from fedkd.protocols.low_rank import CLOSED_FORM, LowRankStudent
from fedkd.protocols.residual.choice import QUESTIONS, chosen_question
from fedkd.protocols.residual.parameters import ResidualParameters
from fedkd.protocols.residual.questions import Question, state_reference
from fedkd.protocols.residual.restoring import restored
from fedkd.protocols.server_optimiser import under
from fedkd.protocols.trained import tunable_training
from fedkd.ragged import Ragged, offsets
from fedkd.random_streams import stream
from fedkd.training.cohort import Cohort
from fedkd.training.hard_labels import train_centrally


class Residual(ResidualParameters, LowRankStudent):
    """Residual distillation: one answer of every client, one sum, and a teacher and a student in closed form."""

    name: Literal["residual"] = "residual"

    @property
    def tunable(self) -> Mapping[str, tuple[float, ...]]:  # type: ignore[override]
        """The settings by which the student is tuned for itself."""
        return CLOSED_FORM if self.closed_form else tunable_training("central")

    @property
    def trained_by_steps(self) -> bool:
        """Whether the student is trained; in closed form nothing is."""
        return not self.closed_form

    @property
    def undistilled_when_silent(self) -> bool:
        """Whether the student has a closed form; another is the distillate of the public users' teacher."""
        return self.closed_form

    def undistilled(self, setup: Setup) -> Recommender | None:
        """Return the student as public users alone teach it; one of another family learns from their hard labels."""
        return super().undistilled(setup) if self.closed_form else self.centralised(setup.public, setup)

    @property
    def closed_form(self) -> bool:
        """Whether the student is written down; another family's is trained."""
        return self.model is None

    def question(self, state: State) -> Question:
        """Return the question of the run."""
        return QUESTIONS[int(state.arrays["question"])](self)

    def begin(self, setup: Setup) -> State:
        """Choose the references; the sums begin at zero."""
        items = setup.public.num_items
        self.check_rank(items)
        question = chosen_question(setup, self)(self)
        reference = question.reference(setup)
        spec = question.spec(reference, setup.num_private_users)
        arrays: dict[str, NDArray[Any]] = {
            "question": np.array(question.code),
            "reference.values": reference.histories.values,
            "reference.lengths": reference.histories.lengths,
            "reference.panel": reference.panel,
            "due": np.ones(setup.num_clients, bool),
            "leaving": np.zeros(setup.num_clients, bool),
            "accepted": np.zeros(setup.num_clients, np.int32),
            "sum": np.zeros(spec.shape, np.float64 if spec.quantiser is None else np.int64),
            "std": np.zeros(()),
            "times": np.ones(()),
        }
        return State(setup, arrays)

    def invite(self, state: State, clients: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the clients that have not contributed yet, have changed since, or leave."""
        return np.asarray(clients[state.arrays["due"][clients]])

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send the references, and to each client the round of its answer that counts and whether it leaves."""
        del rng
        setup = state.setup
        sizes = np.array([setup.public.num_items, setup.num_private_users, int(state.arrays["question"])], np.int64)
        about = np.stack([state.arrays["accepted"][clients], state.arrays["leaving"][clients]], axis=1)
        own = Ragged(about.astype(np.int32).reshape(-1), offsets(np.full(len(clients), 2)))
        return Asks(round_number, clients, {"sizes": sizes}, {"accepted-leaving": own}, state_reference(state))

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return the form of the answer to the question that was asked."""
        assert asks.reference is not None
        question = self._named(asks)
        return {question.name: question.spec(asks.reference, int(asks.shared["sizes"][1]))}

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Answer the question that was asked."""
        return self._named(asks).learn(cohort, asks)

    def pool(self, state: State, estimates: Estimates) -> State:
        """Add the sums, and mark the clients whose contributions are in them."""
        question = self.question(state)
        spec = question.spec(state_reference(state), state.setup.num_private_users)
        estimate = estimates.values[question.name]
        due, accepted = state.arrays["due"].copy(), state.arrays["accepted"].copy()
        due[estimates.clients] = False
        accepted[estimates.clients] = estimates.round
        total = question.added(state.arrays["sum"], estimate, spec)
        std = np.asarray(np.hypot(state.arrays["std"], estimate.std))
        return state.with_arrays(sum=total, std=std, due=due, accepted=accepted)

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Solve for the teacher, and distil it into the student."""
        del rng
        teacher, student = self.closed_forms(state)
        if self.teacher_model is not None:
            teacher = self._taught(state, teacher)
        if self.model is not None:
            student = self.distilled(state, teacher, student)
        taught = state.with_arrays(**_arrays("teacher", teacher), **_arrays("student", student))
        return taught, {"contributors": len(self.contributors(state))}

    def closed_forms(self, state: State) -> tuple[Recommender, Recommender]:
        """Return the teacher of the pooled answers and its closed-form student."""
        setup = state.setup
        users = round(setup.num_private_users * len(self.contributors(state)) / setup.num_clients)
        return self.question(state).models(state, users, self.rank)

    def teacher(self, state: State) -> Recommender | None:
        """Return the teacher: a neural one, or the closed form."""
        arrays, catalogue = _of("teacher", state), state.setup.public.catalogue
        if self.teacher_model is None or not arrays:
            return restored(arrays, len(catalogue))
        return load_arrays(self.teacher_model.build(catalogue, seed=0), arrays).eval()

    def student(self, state: State) -> Recommender | None:
        """Return the teacher's distillate."""
        return self._student(_of("student", state), state.setup.public.catalogue)

    def blank_student(self, catalogue: Catalogue) -> Recommender:
        """Return a student of the right shape, of low rank where it is a closed form or has one."""
        linear = super().blank_student(catalogue)
        if self.model is None:
            return linear
        deep = self.model.build(catalogue, seed=0)
        return WideDeep(linear, deep, gain=1.0) if self.wide else deep

    def restored_student(self, catalogue: Catalogue, arrays: Mapping[str, NDArray[Any]]) -> Recommender:
        """Return the student that some arrays are, of the kind that their names tell."""
        student = self._student(arrays, catalogue)
        assert student is not None
        return student

    def centralised(self, train: Interactions, setup: Setup) -> Recommender:
        """Return the student of everyone's histories in one place.

        A closed form is that of the same question with nothing left out; any other student learns from hard labels.
        """
        question = chosen_question(setup, self)(self)
        if self.model is None:
            return question.optimum(train, self.rank)
        blank, rng = self.model.build(train.catalogue, setup.seed), stream(setup.seed, "central")
        if self.wide:
            linear = question.optimum(train, self.rank)
            blank = beside_linear(linear, blank, train.histories, question.ordered, rng)
        return train_centrally(blank, train.histories, self.central, rng)

    @property
    def neural_teacher(self) -> bool:
        """Whether the teacher is trained."""
        return self.teacher_model is not None

    def centralised_teacher(self, train: Interactions, setup: Setup) -> Recommender | None:
        """Return a neural teacher trained on everyone's hard labels in one place."""
        return self._pretrained(train, setup) if self.neural_teacher else None

    def distilled(self, state: State, teacher: Recommender, linear: Recommender | None) -> Recommender:
        """Return a new student of the teacher; an observer may look at it.

        Where it is wide it stands beside the linear one, which nothing else needs.
        """
        assert self.model is not None
        setup = state.setup
        blank = self.model.build(setup.public.catalogue, setup.seed)
        if self.wide:
            assert linear is not None
            ordered, rng = self.question(state).ordered, stream(setup.seed, "wide")
            blank = beside_linear(linear, blank, setup.public.histories, ordered, rng)
        return self._learner(state, blank, teacher, self.distillation, "distil", observer())

    def centralised_bytes(self, train: Interactions, setup: Setup) -> int:
        """Return about the memory of the statistic of everyone's histories."""
        return chosen_question(setup, self)(self).optimum_bytes(train) if self.closed_form else 0

    def withdraw(self, state: State, clients: NDArray[np.int64]) -> State:
        """Return the state in which some clients are asked to take their contribution back.

        Raises
        ------
        UserError
            The sum is noised: taking something back would be one more release about the clients that leave.
        """
        if reason := self.question(state).permanent:
            raise UserError(reason)
        due, leaving = state.arrays["due"].copy(), state.arrays["leaving"].copy()
        leaving[clients] = True
        due[clients] = np.isin(clients, self.contributors(state))  # who contributed nothing has nothing to take back
        return state.with_arrays(due=due, leaving=leaving)

    def changed(self, state: State, clients: NDArray[np.int64]) -> State:
        """Return the state in which some clients are asked for the difference to their last contribution.

        Under noise they are asked for a whole answer again, and ``times`` is the weight of all answers that a client
        was asked for, on average: it depends on who is asked, never on who answers.
        """
        due, share = state.arrays["due"].copy(), len(clients) / len(state.arrays["due"])
        due[clients] = True
        arrays: dict[str, NDArray[Any]] = {"due": due, "times": np.asarray(state.arrays["times"] + share)}
        if (kept := 1 - share * (1 - self.question(state).fading)) < 1:
            arrays |= {name: np.asarray(kept * state.arrays[name]) for name in ("sum", "std")}
            arrays["times"] = np.asarray(kept * state.arrays["times"] + share)
        return state.with_arrays(**arrays)

    def admit(self, state: State, users: int) -> State:
        """Return the state with further clients of one user each, who are due."""
        setup = state.setup
        more = {"due": np.ones(users, bool), "leaving": np.zeros(users, bool), "accepted": np.zeros(users, np.int32)}
        arrays = {name: np.append(state.arrays[name], new) for name, new in more.items()}
        clients, private = setup.num_clients + users, setup.num_private_users + users
        larger = replace(setup, num_clients=clients, num_private_users=private)
        return replace(state.with_arrays(**arrays), setup=larger)

    def contributors(self, state: State) -> NDArray[np.int64]:
        """Return the clients whose contributions are in the sum."""
        gone = state.arrays["leaving"] & ~state.arrays["due"]
        return np.flatnonzero((state.arrays["accepted"] > 0) & ~gone)

    def _pretrained(self, train: Interactions, setup: Setup) -> Recommender:
        """Return a new neural teacher that has learnt hard labels."""
        assert self.teacher_model is not None
        blank = self.teacher_model.build(train.catalogue, setup.seed)
        return train_centrally(blank, train.histories, self.central_teacher, stream(setup.seed, "pretrain"))

    def _taught(self, state: State, pooled: Recommender) -> Recommender:
        """Return a new neural teacher that has learnt from public users, then from the pooled closed form."""
        pretrained = self._pretrained(state.setup.public, state.setup)
        return self._learner(state, pretrained, pooled, self.teaching, "teach-teacher")

    def _learner(
        self,
        state: State,
        model: Recommender,
        teacher: Recommender,
        how: ServerDistillation,
        purpose: str,
        look: Look | None = None,
    ) -> Recommender:
        """Return a model that has learnt from another: equal sums give equal ones, whatever the round."""
        setup, ordered = state.setup, self.question(state).ordered
        public = setup.public.histories
        counts = np.bincount(public.values, minlength=teacher.num_items)
        known = counts if setup.popularity is None else setup.popularity
        return server_student(model, teacher, public, known, ordered, how, stream(setup.seed, purpose), look)

    def _student(self, arrays: Mapping[str, NDArray[Any]], catalogue: Catalogue) -> Recommender | None:
        """Return the student that some arrays are; None where there are none."""
        if self.model is None or not arrays:
            return restored(arrays, len(catalogue))
        blank = self.model.build(catalogue, seed=0)
        if self.wide:
            linear = restored(under("wide.model.", arrays), len(catalogue))
            assert linear is not None
            blank = WideDeep(linear, blank, gain=1.0)
        return load_arrays(blank, arrays).eval()

    def _named(self, asks: Asks) -> Question:
        """Return the question that the asks name by its code."""
        return QUESTIONS[int(asks.shared["sizes"][2])](self)


def _arrays(prefix: str, model: Recommender) -> dict[str, NDArray[Any]]:
    return {f"{prefix}.{name}": array for name, array in model_arrays(model).items()}


def _of(prefix: str, state: State) -> dict[str, NDArray[Any]]:
    names = [name for name in state.arrays if name.startswith(f"{prefix}.")]
    return {name.removeprefix(f"{prefix}."): state.arrays[name] for name in names}
