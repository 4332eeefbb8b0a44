"""The questions of residual distillation, and the default one: exact scores on references.

Clients answer with whole numbers that sum exactly and can be taken back. Under noise there are other questions
(`fedkd.protocols.residual.protected_questions`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.distillation.closed_forms import Gram, LinearTeacher, ease_teacher, low_rank_student, weighted_gram
from fedkd.distillation.cold_items import with_cold_items
from fedkd.distillation.residual import (
    UserWeights,
    answer,
    answer_spec,
    history_reference,
    item_reference,
    pooled_gram,
    ridge,
    sizes_for_budget,
)
from fedkd.messages.missing import Missing
from fedkd.messages.types import Answers, Asks, Estimate, LowRankUpdate, Reference, Spec
from fedkd.models.base import Recommender
from fedkd.protocols.base import Setup, State
from fedkd.protocols.residual.contributions import Update, counted, joined, minus, remembered, remembers
from fedkd.protocols.residual.parameters import ResidualParameters
from fedkd.ragged import Ragged, offsets
from fedkd.training.cohort import Cohort

EXACT = 1000
"""Levels of a weight that need not be rounded to few bits."""


@dataclass(frozen=True)
class Question(ABC):
    """A question, and the server's use of the sum of its answers.

    Attributes
    ----------
    parameters : ResidualParameters
        The parameters of the protocol.
    """

    code: ClassVar[int]
    """Number by which asks name the question."""

    name: ClassVar[str]
    """Name of the array of an answer."""

    ordered: ClassVar[bool] = False
    """Whether the teacher says what comes next."""

    fading: ClassVar[float] = 1.0
    """The share of the total that is left when everybody is asked again; all where clients send differences."""

    parameters: ResidualParameters

    @abstractmethod
    def reference(self, setup: Setup) -> Reference:
        """Server: choose the references and the panel."""

    @abstractmethod
    def spec(self, reference: Reference, num_users: int) -> Spec:
        """Both: return the form of an answer."""

    @abstractmethod
    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Clients: train in closed form, and answer."""

    @abstractmethod
    def added(self, total: NDArray[Any], estimate: Estimate, spec: Spec) -> NDArray[Any]:
        """Server: return the running total with one more sum."""

    @abstractmethod
    def models(self, state: State, users: int, rank: int) -> tuple[Recommender, Recommender]:
        """Server: return teacher and student.

        Parameters
        ----------
        state : State
            The state with the total.
        users : int
            Number of private users in the total.
        rank : int
            Width of a student of low rank.
        """

    @abstractmethod
    def optimum(self, train: Interactions, rank: int) -> Recommender:
        """Return the student of everyone's histories in one place, without references and with exact weights."""

    def optimum_bytes(self, train: Interactions) -> int:
        """Return about the memory in which ``optimum`` works, beside its data; 0 where it is little or unknown."""
        del train
        return 0

    def with_cold_items(
        self, pair: tuple[Recommender, Recommender], had: NDArray[np.bool_], catalogue: Catalogue
    ) -> tuple[Recommender, Recommender]:
        """Return teacher and student in which content speaks for the items of which nothing was learnt."""
        known = (had, catalogue, self.parameters.cold_weight)
        return with_cold_items(pair[0], *known), with_cold_items(pair[1], *known)

    @property
    def permanent(self) -> str | None:
        """Reason why contributions cannot be taken back; None where they can."""
        return None


class RememberedQuestion(Question):
    """A question whose answers are exact whole numbers: clients send differences, and can take everything back."""

    def parts(self, users: Interactions) -> tuple[Ragged, NDArray[np.int64]]:
        """Both: return the histories that count by themselves, and the position of each one's user; whole ones here."""
        return users.histories, np.arange(users.num_users)

    @abstractmethod
    def update(self, histories: Ragged, owner: NDArray[np.int64], asks: Asks) -> Update:
        """Clients: return the answer of some histories, by the position of each one's client."""

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Answer with the difference to the earlier contribution, and remember the new one.

        A client that has forgotten its earlier contribution refuses: what it sent would be counted a second time.
        """
        accepted = _about(asks)[0]
        known = np.array([remembers(state, int(last)) for state, last in zip(cohort.states, accepted, strict=True)])
        kept, refused = cohort.take(np.flatnonzero(known)), cohort.clients[~known].tolist()
        learnt, answers = self._differences(kept, asks.take(kept.clients))
        return learnt, replace(answers, refused={Missing.FORGOTTEN: refused} if refused else {})

    def _differences(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        assert asks.reference is not None
        accepted, leaving = _about(asks)
        histories, user = self.parts(cohort.data.train)
        owner = cohort.owner[user]
        gone = (leaving > 0) & (accepted > 0)  # a client can only take back what it contributed
        staying = np.flatnonzero(~gone[owner])
        kept = [counted(state, int(last)) for state, last in zip(cohort.states, accepted, strict=True)]
        new = self.update(histories.take(staying), owner[staying], asks)
        old = self.update(*joined(kept), asks)
        states = tuple(
            remembered(asks.round, histories.take(staying[owner[staying] == row]), int(accepted[row]), kept[row])
            for row in range(len(cohort))
        )
        values = {self.name: minus(new, old)}
        return cohort.with_states(states), Answers(asks.round, cohort.clients, values, asks.reference.fingerprint)

    def added(self, total: NDArray[Any], estimate: Estimate, spec: Spec) -> NDArray[Any]:
        """Add modulo the quantiser's range: the running total is never negative and always fits."""
        assert spec.quantiser is not None
        return np.asarray((total + estimate.value) % (1 << spec.quantiser.bits))


class GramQuestion(Question):
    """A question about the Gram matrix, from which teacher and student follow in closed form."""

    @abstractmethod
    def gram(self, state: State, users: int) -> tuple[Gram, float]:
        """Server: return the estimate of everyone's Gram matrix, and the ridge that suits it."""

    def models(self, state: State, users: int, rank: int) -> tuple[Recommender, Recommender]:
        """Return the teacher of the pooled Gram matrix, and its distillate of low rank, with cold items in both."""
        gram, strength = self.gram(state, users)
        teacher = self.teacher(gram, strength)
        pair = (teacher, low_rank_student(teacher, gram, rank))
        return self.with_cold_items(pair, self.had(state, gram), state.setup.public.catalogue)

    def had(self, state: State, gram: Gram) -> NDArray[np.bool_]:
        """Return of which items anything was learnt, shape [items]; content speaks for the others."""
        del state
        return np.asarray(gram.diagonal() > 0)

    def teacher(self, gram: Gram, strength: float) -> LinearTeacher:
        """Return the teacher of a Gram matrix: EASE."""
        return ease_teacher(gram, strength)

    def optimum(self, train: Interactions, rank: int) -> Recommender:
        """Return the distillate of EASE of everyone's histories."""
        weights = UserWeights(EXACT, self.parameters.damping)
        gram = weighted_gram(train, weights.of(train.histories.lengths))
        teacher = ease_teacher(gram, ridge(self.parameters.regularisation, train, weights))
        pair = (teacher, low_rank_student(teacher, gram, rank))
        return self.with_cold_items(pair, gram.diagonal() > 0, train.catalogue)[1]


class ScoresQuestion(RememberedQuestion, GramQuestion):
    """The change of every user's scores on shared references, as whole numbers."""

    code: ClassVar[int] = 0
    name: ClassVar[str] = "residual"

    def reference(self, setup: Setup) -> Reference:
        """Return as many references and panel items as the byte budget allows, or as the parameters say."""
        items, users = setup.public.num_items, setup.num_private_users
        how = self.parameters
        references, panel = how.references, how.panel or items
        if not references:
            references, panel = sizes_for_budget(items, users, how.levels, how.upload_budget_bytes)
        if how.reference_kind == "histories":
            return history_reference(setup.public, setup.popular, references, panel)
        return item_reference(setup.popular, references, panel)

    def spec(self, reference: Reference, num_users: int) -> Spec:
        """Return the scores of the panel on every reference."""
        return answer_spec(reference, self.parameters.weights, num_users)

    def gram(self, state: State, users: int) -> tuple[Gram, float]:
        """Complete the answers by Nystroem's method, with the public users."""
        public, how = state.setup.public, self.parameters
        known = (state_reference(state), public, how.weights, users, how.complement)
        return pooled_gram(state.arrays["sum"], *known), ridge(how.regularisation, public, how.weights)

    def update(self, histories: Ragged, owner: NDArray[np.int64], asks: Asks) -> LowRankUpdate:
        """Return the outer products of some histories."""
        assert asks.reference is not None
        return answer(histories, owner, asks.reference, self.parameters.weights, int(asks.shared["sizes"][0]))


def state_reference(state: State) -> Reference:
    """Return the reference that a state holds."""
    lengths = state.arrays["reference.lengths"]
    return Reference(Ragged(state.arrays["reference.values"], offsets(lengths)), state.arrays["reference.panel"])


def _about(asks: Asks) -> NDArray[np.int32]:
    """Return of every asked client the round of its answer that counts, and whether it leaves: two rows."""
    return np.asarray(asks.own["accepted-leaving"].values.reshape(-1, 2).T)
