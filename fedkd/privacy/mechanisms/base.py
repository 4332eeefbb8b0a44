"""The base of all privacy mechanisms: noise, its cost, and the account that pays for it."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.aggregation.aggregator import Aggregator, Specs
from fedkd.aggregation.answer_budget import AnswerBudget
from fedkd.aggregation.clipping import clipped
from fedkd.aggregation.noised import Noised
from fedkd.aggregation.quantisation import quantised, summed
from fedkd.errors import UserError
from fedkd.messages.types import Quantiser, Spec
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.budget import Budget
from fedkd.privacy.events import Cost, total
from fedkd.privacy.gaussian import noise_multiplier
from fedkd.privacy.guarantee import Guarantee
from fedkd.privacy.ledger_account import Account, open_ledger
from fedkd.privacy.mechanisms.description import Description

FINEST = 2.0**-16
"""Step of protected answers, over the clip, so fine that rounding adds almost nothing to the noise."""

ROUNDING = 1e-6
"""Relative reserve in every part of a budget, so that parts calibrated one by one fit into the whole."""

WIDEST = 1 << 24
"""Most coordinates of a protected answer, a bound on its norm l1 and thereby on the noise of the shares."""

ANSWERS, PANEL, METRICS = "answers", "panel", "metrics"
"""The kinds of releases of a run: every round's answers, the items that clients have, the student's quality."""


@dataclass(frozen=True)
class Mechanism(Description):
    """The noise of one kind of release, fixed before the run and derived only from public numbers.

    A mechanism of your own is a subclass in your own module; ``privacy.mode`` takes its ``package.module:Class``.

    Attributes
    ----------
    guarantee : Guarantee
        The budget, and for whom it holds.
    participants : int
        Clients asked in a round, a public constant; never the number of those that answered.
    releases : int
        The most releases of the run to which one client contributes.
    portion : float
        Share of the budget that these releases may use together.
    """

    guarantee: Guarantee
    participants: int
    releases: int
    portion: float = 1.0

    # Noise and its cost

    @property
    def sensitivity(self) -> float:
        """The largest change of a sum by one unit, over the clip."""
        return 2.0 if self.guarantee.adjacency == "replace-one" else 1.0

    @cached_property
    def multiplier(self) -> float:
        """Noise of one release over the clip, on the sum or, where clients noise answers alone, on each of them."""
        return self.sensitivity * noise_multiplier(*self.guarantee.budget, self.releases / self.portion)

    @cached_property
    def cost(self) -> Cost:
        """The accounting event of one release, for everyone who contributes to it."""
        return Cost.of_gaussian(self.multiplier / self.sensitivity)

    @property
    def description(self) -> str:
        """The mechanism in a few words."""
        return f"Gaussian noise, multiplier {self.multiplier:.4g}"

    @property
    def noise(self) -> float:
        """Standard deviation of the noise on a round's sum, over the clip; 0 where it is exact."""
        return self.multiplier

    @property
    def quorum(self) -> int:
        """Fewest answers whose sum carries all the noise."""
        return 1

    @property
    def answer_budget(self) -> AnswerBudget | None:
        """The public budget of an answer; None where anything may be asked."""
        return AnswerBudget(self.participants, self.noise) if self.noise else None

    # Answers

    def aggregator(self, plain: Specs) -> Aggregator:
        """Return the aggregator of answers of some form, without masks."""
        return Noised(plain, self)

    def specs(self, plain: Specs) -> Specs:
        """Return the form of answers under protection: bounded, summed, on a fine grid.

        Raises
        ------
        UserError
            An answer that has no bound, or that does not sum.
        """
        if len(plain) != 1:
            raise UserError(
                f"the arrays {sorted(plain)} would each use the whole budget; protected answers are one array"
            )
        for name, spec in plain.items():
            if spec.clip is None or not spec.sums:
                raise UserError(f"{name} has no bound or does not sum, so mode {self.name} cannot protect it")
            if math.prod(spec.shape) > WIDEST:
                raise UserError(f"{name} has {math.prod(spec.shape)} numbers; at most {WIDEST} can be protected")
        return {name: replace(spec, quantiser=self.quantiser(spec)) for name, spec in plain.items()}

    def quantiser(self, spec: Spec) -> Quantiser:
        """Return the coding of a protected answer, in which sums with noise never wrap around."""
        assert spec.clip is not None
        limit = round(1 / FINEST)
        room = self.participants * limit + math.ceil(20 * self.noise * limit)
        return Quantiser(spec.clip * FINEST, -limit, limit, (2 * room).bit_length())

    def contribution(self, values: Any, spec: Spec, count: int) -> Any:
        """Return the encoded sum of some clients: values bounded, coded and summed, with the clients' noise.

        Parameters
        ----------
        values : ndarray, LowRankUpdate or SparseUpdate
            One leading row per client, factors, or entries.
        spec : Spec
            As ``specs`` gives it.
        count : int
            How many clients there are.
        """
        exact = summed(quantised(clipped(values, spec, count), spec), spec)
        return self.client_noise(exact, count) if count else exact

    def client_noise(self, exact: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Return the sum of ``count`` clients with the noise they add, in steps of ``FINEST``; none by default."""
        del count
        return exact

    def released(self, total: Any, spec: Spec, count: int) -> NDArray[Any]:
        """Return a round's sum in the units of the answers, with the server's noise.

        Parameters
        ----------
        total : ndarray of int64
            The sum of all encoded answers.
        spec : Spec
            As ``specs`` gives it.
        count : int
            How many clients are in it.
        """
        del count
        assert spec.quantiser is not None
        return np.asarray(self.server_noise(total) * spec.quantiser.step)

    def server_noise(self, exact: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sum with the noise that a trusted server adds, in steps of ``FINEST``; none by default."""
        return exact

    # Releases, and what is spent

    def part(self, kind: str) -> "Mechanism | None":
        """Return the mechanism of another kind of release, ``panel`` or ``metrics``; None where the run has none."""
        share = {PANEL: self.guarantee.panel_share, METRICS: self.guarantee.metrics_share}[kind]
        if not (self.active and share):
            return None
        return self.beside(share * (1 - ROUNDING))

    def beside(self, portion: float) -> "Mechanism":
        """Return the mechanism of one release that uses a portion of the budget beside the answers."""
        return replace(self, releases=1, portion=portion)

    def spent(self, made: Mapping[str, int]) -> float:
        """Return epsilon at the budget's delta after some releases.

        Parameters
        ----------
        made : mapping of str to int
            How often each kind of release was made: ``answers``, ``panel``, ``metrics``.
        """
        if not self.active:
            return self.guarantee.budget[0]
        count = Counter(made)
        answers = min(count[ANSWERS], self.releases)
        if answers == self.releases and self.portion == 1:
            return self.guarantee.budget[0]
        budget, delta = self.guarantee.budget
        return min(budget, epsilon(self.together({**count, ANSWERS: answers}), delta))

    def together(self, made: Mapping[str, int]) -> Cost:
        """Return the cost of some releases together."""
        parts = [part.cost for kind in (PANEL, METRICS) if made.get(kind) and (part := self.part(kind)) is not None]
        return total([self.cost.times(made.get(ANSWERS, 0)), *parts])

    @property
    def everything(self) -> dict[str, int]:
        """All releases of the run."""
        return {ANSWERS: self.releases, PANEL: 1, METRICS: 1}

    def charged(self, spent: float) -> dict[str, float | str]:
        """Return the log line about a release with its noise and epsilon so far, written before the release."""
        return {
            "mode": self.name,
            "mechanism": self.description,
            **self.guarantee.conditions,
            "noise-multiplier": self.multiplier,
            "epsilon-so-far": spent,
        }

    def account(
        self, folder: Path, source: str, own: Budget | None = None, naming: Callable[[int], str] = str
    ) -> Account:
        """Return the account of the server or the client that makes the releases.

        Parameters
        ----------
        folder : Path
            Folder of the ledger, unless ``privacy.ledger`` names a file.
        source : str
            Name of the data.
        own : Budget, optional
            The owner's budget, instead of the configured one.
        naming : callable
            Returns the lasting name of an owner.
        """
        guarantee = self.guarantee
        limit = replace(own or guarantee.limit, adjacency=guarantee.adjacency)
        note = f"{self.name}, one {guarantee.unit}, {guarantee.adjacency}, no amplification, {self.description}"
        ledger = open_ledger(guarantee.ledger or folder / "privacy.ledger")
        return Account(ledger, source, self.cost, limit, note, naming)

    def check(self) -> "Mechanism":
        """Return the mechanism if all releases of the run may be made.

        Raises
        ------
        UserError
            An adaptive budget without room for them; the message says how much is needed.
        """
        if self.active and self.guarantee.adaptive:
            self.guarantee.limit.check_room(self.together(self.everything), "privacy.epsilon-limit")
        return self
