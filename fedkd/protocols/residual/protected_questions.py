"""The question about order under noise: what is chosen next after what, on a list, in answers of norm 1."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedkd.data.interactions import Interactions
from fedkd.distillation.likely_pairs import likely_targets
from fedkd.distillation.pair_lists import Chosen, known_pairs
from fedkd.distillation.pair_models import teacher_and_student
from fedkd.distillation.protected_pairs import bounded, protected_sums
from fedkd.messages.types import Answers, Asks, Estimate, Kind, Reference, Spec
from fedkd.models.base import Recommender
from fedkd.protocols.base import Setup, State
from fedkd.protocols.residual.pair_questions import NOTHING, NextItemQuestion
from fedkd.protocols.residual.questions import (
    FADING,
    PERMANENT,
    Question,
    mean_answer,
    no_public_users,
    state_reference,
)
from fedkd.training.cohort import Cohort

BYTES = 4
"""Bytes of a number under protection, about."""

MOST = 1 << 20
"""Numbers of a list where the budget has no limit."""

RIDGE = 10.0
"""Ridge under noise over that of everything without; 6 to 12 are about as good on MovieLens-1M's validation part."""


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
        return teacher_and_student(sums, ridge, self.exact.rates, self.parameters.density * sums.layout.inputs)

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
