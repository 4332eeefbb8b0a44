"""The questions about pairs: the next-item statistic where order counts, and the plain one of large catalogues.

The server sends a list of numbers that public users make likely to be large; elsewhere their own values stand in. The
reference of a list holds the columns asked for of every input, a row each, and no panel; where everything is asked for,
it holds the catalogue as its panel, and no row. Every number of a user lies between 0 and the statistic's ``levels``,
so the norm of an answer is at most ``levels sqrt(count)`` a user, and sums over all users never wrap around.
"""

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.data.interactions import Interactions
from fedkd.data.sessions import session_histories
from fedkd.distillation.co_occurrence import CoOccurrence
from fedkd.distillation.likely_pairs import likely_pairs
from fedkd.distillation.next_item import NextItem
from fedkd.distillation.pair_lists import Chosen, Coordinates, Everything, Statistic, contributions, known_pairs
from fedkd.distillation.pair_models import DENSE_INPUTS, PairSums, large_bytes, teacher_and_student
from fedkd.distillation.residual import ridge
from fedkd.distillation.transition_prior import transitions, with_prior
from fedkd.errors import UserError
from fedkd.messages.types import Asks, Kind, Quantiser, Reference, SparseUpdate, Spec
from fedkd.models.base import Recommender
from fedkd.protocols.base import Setup, State
from fedkd.protocols.residual.questions import RememberedQuestion, state_reference
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from fedkd.training.hard_labels import train_centrally

MOST_NUMBERS = 1 << 24
"""Numbers of a list where the budget has no limit."""

EVERYTHING = 1 << 27
"""Statistics with at most so many numbers are asked for as a whole where the budget has no limit."""

LISTED = 2.5
"""Ridge of next-item statistics on a list over that of everything; chosen on validation."""

NICHE = 0.25
"""Ridge of the pairs of a large catalogue over that of a dense one."""

FEWEST = 16
"""Numbers below which a list is of no use."""

NOTHING = np.zeros(0, np.int32)


class PairQuestion(RememberedQuestion):
    """Numbers of a statistic of pairs, on a list or all of them."""

    @property
    @abstractmethod
    def statistic(self) -> Statistic:
        """The rule by which a history becomes numbers."""

    @property
    @abstractmethod
    def rates(self) -> NDArray[np.float64]:
        """The decays of the models' inputs, shape [decays]."""

    @abstractmethod
    def ridge(self, public: Interactions, listed: bool) -> float:
        """Return the teacher's ridge, in the statistic's units: of a list, or of everything."""

    def known(self, users: Interactions) -> sparse.csr_array:
        """Return the statistic of some users in its units, shape [inputs, width]."""
        return known_pairs(self.parts(users)[0], self.statistic, users.num_items)

    def reference(self, setup: Setup) -> Reference:
        """Return the list that the byte budget allows; everything, where it allows that."""
        layout = self.statistic.layout(setup.public.num_items)
        budget, bits = self.parameters.upload_budget_bytes, _bits(self.statistic, setup.num_private_users)
        count = 8 * budget // bits if budget else layout.size if layout.size <= EVERYTHING else MOST_NUMBERS
        if count < FEWEST:
            raise UserError(
                f"algorithm.upload-budget-bytes is {budget}, but a list needs {FEWEST} numbers of {bits} bits; "
                "raise it, for example to 156000, or set it to 0 for no limit"
            )
        if count >= layout.size:
            return Reference(Ragged.from_rows([], np.int32), np.arange(layout.num_items, dtype=np.int32))
        return Reference(likely_pairs(self.known(setup.public), layout, count).columns, NOTHING)

    def spec(self, reference: Reference, num_users: int) -> Spec:
        """Return a whole number for every place on the list."""
        levels, count = self.statistic.levels, self._coordinates(reference).count
        grid = Quantiser(1.0, -levels, levels, _bits(self.statistic, num_users), signed=False)
        return Spec(Kind.STATISTICS, (count,), quantiser=grid)

    def update(self, histories: Ragged, owner: NDArray[np.int64], asks: Asks) -> SparseUpdate:
        """Return the numbers of some histories."""
        assert asks.reference is not None
        found = contributions(histories, self.statistic, self._coordinates(asks.reference))
        return replace(found, owner=owner[found.owner])

    def models(self, state: State, users: int, rank: int) -> tuple[Recommender, Recommender]:
        """Return the teacher of the sums, and the sparse student of its largest weights."""
        del rank
        public = state.setup.public
        ridge = self.ridge(public, listed=not len(state.arrays["reference.panel"]))
        sums = self.informed(self._sums(state, users), ridge, state.setup)
        return self.with_cold_items(self._teacher_and_student(sums, ridge), sums.had(), public.catalogue)

    def informed(self, sums: PairSums, ridge: float, setup: Setup) -> PairSums:
        """Return the sums with what is believed of them beforehand; nothing here."""
        del ridge, setup
        return sums

    def optimum(self, train: Interactions, rank: int) -> Recommender:
        """Return the sparse student of everyone's histories."""
        del rank
        sums = PairSums(self.statistic.layout(train.num_items), self.known(train))
        pair = self._teacher_and_student(sums, self.ridge(train, listed=False))
        return self.with_cold_items(pair, sums.had(), train.catalogue)[1]

    def optimum_bytes(self, train: Interactions) -> int:
        """Return about the memory of a large catalogue's statistic, with no pair of items in two histories."""
        layout, lengths = self.statistic.layout(train.num_items), train.histories.lengths.astype(np.float64)
        pairs = layout.kinds * float((lengths * (lengths + 1) / 2).sum())
        return large_bytes(min(pairs, layout.inputs * layout.width / 2)) if layout.inputs > DENSE_INPUTS else 0

    def _teacher_and_student(self, sums: PairSums, ridge: float) -> tuple[Recommender, Recommender]:
        return teacher_and_student(sums, ridge, self.rates, self.parameters.density * sums.layout.inputs)

    def _sums(self, state: State, users: int) -> PairSums:
        """Return private and public sums; where nothing was asked for, the public ones count for private users too."""
        public, units = state.setup.public, self.statistic.units()
        coordinates = self._coordinates(state_reference(state))
        known = self.known(public)
        answered = coordinates.matrix(state.arrays["sum"], units)
        if isinstance(coordinates, Everything):
            return PairSums(coordinates.layout, answered + known.toarray())
        share = self.parameters.complement * users / max(public.num_users, 1)
        listed = coordinates.matrix(np.ones(coordinates.count), np.ones_like(units))
        return PairSums(coordinates.layout, known * (1 + share) - share * known.multiply(listed) + answered)

    def _coordinates(self, reference: Reference) -> Coordinates:
        if len(reference.panel):
            return Everything(self.statistic.layout(len(reference.panel)))
        rows = len(reference.histories) // self.statistic.layout(1).inputs
        return Chosen(self.statistic.layout(rows), reference.histories)


class NextItemQuestion(PairQuestion):
    """Pairs of an earlier item and the next one, which count less the longer ago it was."""

    code: ClassVar[int] = 2
    name: ClassVar[str] = "transitions"
    ordered: ClassVar[bool] = True

    @property
    def statistic(self) -> NextItem:
        """The next-item statistic with the decays of the parameters."""
        return NextItem(self.parameters.decays)

    @property
    def rates(self) -> NDArray[np.float64]:
        """The decays as loss of weight with every step."""
        return 1.0 / np.asarray(self.parameters.decays)

    def ridge(self, public: Interactions, listed: bool) -> float:
        """Return the regularisation, as every prefix weighs 1; what a list leaves out is known less well."""
        del public
        return self.parameters.regularisation * (LISTED if listed else 1.0)

    def informed(self, sums: PairSums, ridge: float, setup: Setup) -> PairSums:
        """Return the sums with the transitions of a neural model of the public users, where there is one."""
        how = self.parameters
        if how.prior_model is None:
            return sums
        blank, rng = how.prior_model.build(setup.public.catalogue, setup.seed), stream(setup.seed, "prior")
        model = train_centrally(blank, setup.public.histories, how.central_teacher, rng).eval()
        return with_prior(sums, transitions(model, how.prior_temperature), how.prior_weight * ridge)


class SessionQuestion(NextItemQuestion):
    """The same inside sessions: what was chosen before a pause says nothing of what comes after it."""

    code: ClassVar[int] = 5
    name: ClassVar[str] = "session-transitions"

    def parts(self, users: Interactions) -> tuple[Ragged, NDArray[np.int64]]:
        """Both: return the sessions, and the position of each one's user."""
        return session_histories(users)


class CoOccurrenceQuestion(PairQuestion):
    """Counts of histories that hold two items, for pairs of a large catalogue."""

    code: ClassVar[int] = 3
    name: ClassVar[str] = "pairs"

    @property
    def statistic(self) -> CoOccurrence:
        """The plain statistic with the weights of the parameters."""
        return CoOccurrence(self.parameters.weights)

    @property
    def rates(self) -> NDArray[np.float64]:
        """No decay."""
        return np.zeros(1)

    def ridge(self, public: Interactions, listed: bool) -> float:
        """Return a part of the regularisation, times the mean weight of an interaction: niches are small."""
        del listed
        return ridge(NICHE * self.parameters.regularisation, public, self.parameters.weights)


def _bits(statistic: Statistic, num_users: int) -> int:
    return max(1, (statistic.levels * num_users).bit_length())
