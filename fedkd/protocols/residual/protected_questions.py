"""The questions under noise: a small block of the Gram matrix, and what is chosen next after what, on a list.

An answer must have a norm of 1 at most and few numbers (`fedkd.distillation.gram_block`,
`fedkd.distillation.protected_pairs`). It cannot be taken back.
"""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedkd.data.interactions import Interactions
from fedkd.distillation.closed_forms import Gram, LinearTeacher
from fedkd.distillation.gram_block import RIDGE_MULTIPLIER, block_answer, block_spec, protected_gram, protected_teacher
from fedkd.distillation.likely_pairs import likely_targets
from fedkd.distillation.pair_lists import Chosen, known_pairs
from fedkd.distillation.pair_models import teacher_and_student
from fedkd.distillation.protected_pairs import bounded, protected_sums
from fedkd.distillation.residual import item_reference
from fedkd.errors import UserError
from fedkd.messages.types import Answers, Asks, Estimate, Kind, Reference, Spec
from fedkd.models.base import Recommender
from fedkd.protocols.base import Setup, State
from fedkd.protocols.residual.pair_questions import NOTHING, NextItemQuestion
from fedkd.protocols.residual.questions import GramQuestion, Question, state_reference
from fedkd.training.cohort import Cohort

BYTES = 4
"""Bytes of a number under protection, about."""

MOST = 1 << 20
"""Numbers of a list where the budget has no limit."""

RIDGE = 10.0
"""Ridge under noise over that of everything without; 6 to 12 are about as good on MovieLens-1M's validation part."""


FADING = 0.5
"""Weight of a noised answer over that of the next one of the same client; chosen on worlds of the feedback
loop that its figures do not use (seeds 100 and 101, epsilon 8 and 1), among 1, 0.8 and 0.5."""

PERMANENT = "a protected sum keeps every contribution it has; to remove one, run again without the client"


class BlockQuestion(GramQuestion):
    """One small symmetric block of the Gram matrix, of norm 1 at most."""

    code: ClassVar[int] = 1
    name: ClassVar[str] = "block"
    fading: ClassVar[float] = FADING

    def reference(self, setup: Setup) -> Reference:
        """Return the most popular items, about 15 times the root of the number of clients."""
        items = setup.public.num_items
        if not setup.public.num_users:
            raise no_public_users()
        size = min(self.parameters.block or round(15 * setup.num_clients**0.5), items, 4096)
        return item_reference(setup.popular, size, size)

    def spec(self, reference: Reference, num_users: int) -> Spec:
        """Return the square of the panel's items."""
        del num_users
        return block_spec(reference.panel)

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Answer with ``x^T x / |x|^2`` on the panel."""
        assert asks.reference is not None
        train, panel = cohort.data.train, asks.reference.panel
        values = {self.name: block_answer(train.histories, cohort.owner, panel, train.num_items)}
        return cohort, Answers(asks.round, cohort.clients, values, asks.reference.fingerprint)

    def added(self, total: NDArray[Any], estimate: Estimate, spec: Spec) -> NDArray[Any]:
        """Add the two sums."""
        del spec
        return np.asarray(total + estimate.value)

    def gram(self, state: State, users: int) -> tuple[Gram, float]:
        """Shift the public users' estimate towards the sum, the further the smaller its standard deviation."""
        del users
        setup, (mean, std) = state.setup, mean_answer(state)
        lengths = setup.public.histories.lengths
        strength = RIDGE_MULTIPLIER * self.parameters.regularisation * (lengths > 0).sum() / max(1, lengths.sum())
        known = (setup.public, setup.num_private_users, std, setup.popularity)
        return protected_gram(mean, state.arrays["reference.panel"], *known), float(strength)

    def had(self, state: State, gram: Gram) -> NDArray[np.bool_]:
        """Return the items of public users and of the panel; what noise and content say of others is left out."""
        del gram
        had = state.setup.public.popularity() > 0
        had[state.arrays["reference.panel"]] = True
        return np.asarray(had)

    def teacher(self, gram: Gram, strength: float) -> LinearTeacher:
        """Return a denoising teacher."""
        return protected_teacher(gram, strength)

    @property
    def permanent(self) -> str | None:
        """Reason: taking something back would be one more release about the clients that leave."""
        return PERMANENT


class ProtectedNextItemQuestion(Question):
    """Next-item statistics on a list of targets, of norm 1 at most."""

    code: ClassVar[int] = 4
    name: ClassVar[str] = "protected-transitions"
    ordered: ClassVar[bool] = True
    fading: ClassVar[float] = FADING

    @property
    def exact(self) -> NextItemQuestion:
        """The same question without noise."""
        return NextItemQuestion(self.parameters)

    def reference(self, setup: Setup) -> Reference:
        """Return the targets that public users make likely to be large, as many as the byte budget allows."""
        if not setup.public.num_users:
            raise no_public_users()
        statistic, items = self.exact.statistic, setup.public.num_items
        count = max(1, self.parameters.upload_budget_bytes // BYTES) if self.parameters.upload_budget_bytes else MOST
        known = known_pairs(setup.public.histories, statistic, items)
        return Reference(likely_targets(known, statistic.layout(items), count).columns, NOTHING)

    def spec(self, reference: Reference, num_users: int) -> Spec:
        """Return the numbers of the list."""
        del num_users
        return Spec(Kind.STATISTICS, (self._asked(reference).count,), clip=1.0)

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Answer with the numbers over their norm."""
        assert asks.reference is not None
        histories, asked = cohort.data.train.histories, self._asked(asks.reference)
        values = {self.name: bounded(histories, cohort.owner, self.exact.statistic, asked)}
        return cohort, Answers(asks.round, cohort.clients, values, asks.reference.fingerprint)

    def added(self, total: NDArray[Any], estimate: Estimate, spec: Spec) -> NDArray[Any]:
        """Add the two sums."""
        del spec
        return np.asarray(total + estimate.value)

    def models(self, state: State, users: int, rank: int) -> tuple[Recommender, Recommender]:
        """Shift the public users' statistic towards the sum, and return its teacher and the sparse student."""
        del users, rank
        setup, statistic, asked = state.setup, self.exact.statistic, self._asked(state_reference(state))
        each = setup.num_private_users / max(1, setup.num_clients)
        ratio, (mean, std) = setup.num_private_users / setup.public.num_users, mean_answer(state)
        known = (setup.public.histories, statistic, asked, ratio, std * each)
        ridge = RIDGE * self.parameters.regularisation
        sums = self.exact.informed(protected_sums(mean * each, *known), ridge, setup)
        pair = teacher_and_student(sums, ridge, self.exact.rates, self.parameters.density * sums.layout.inputs)
        return self.with_cold_items(pair, setup.public.popularity() > 0, setup.public.catalogue)

    def optimum(self, train: Interactions, rank: int) -> Recommender:
        """Return the sparse student of everyone's histories, without noise."""
        return self.exact.optimum(train, rank)

    @property
    def permanent(self) -> str | None:
        """Reason: taking something back would be one more release about the clients that leave."""
        return PERMANENT

    def _asked(self, reference: Reference) -> Chosen:
        items = len(reference.histories) // len(self.parameters.decays)
        return Chosen(self.exact.statistic.layout(items), reference.histories)


def mean_answer(state: State) -> tuple[NDArray[np.float64], float]:
    """Return the sum of clients' protected answers and the standard deviation of its noise, infinite before any answer.

    Where clients answered several times, it is the sum of the means of these answers, in which older ones fade: a sum
    of differences would carry the noise of all of them, and the latest answer alone that of one out of many.
    """
    times = float(state.arrays["times"])
    std = float(state.arrays["std"]) / times if state.arrays["accepted"].any() else np.inf
    return state.arrays["sum"] / times, std


def no_public_users() -> UserError:
    """Return the error of a protected question without public users."""
    return UserError(
        "under protection, algorithm residual needs public users, whose histories predict the sum; set "
        "partition.public-fraction above 0, for example 0.1"
    )
