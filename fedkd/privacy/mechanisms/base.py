"""The base of all privacy mechanisms: noise, its cost, who pays, who sees what, and the sentences that say so."""

import math
from abc import ABC
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedkd.aggregation.aggregator import Aggregator, Noised, Specs
from fedkd.aggregation.answer_budget import AnswerBudget
from fedkd.aggregation.clipping import clipped
from fedkd.aggregation.quantisation import quantised, summed
from fedkd.errors import UserError
from fedkd.messages.types import Quantiser, Spec
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.budget import Budget
from fedkd.privacy.events import Cost, total
from fedkd.privacy.gaussian import noise_multiplier
from fedkd.privacy.guarantee import Guarantee
from fedkd.privacy.ledger_account import Account, open_ledger

FINEST = 2.0**-16
"""Step of protected answers, over the clip: so fine that rounding adds next to nothing to the noise."""

ROUNDING = 1e-6
"""Share of itself that a part of a budget leaves unused, so that parts solved one by one fit the whole together."""

WIDEST = 1 << 24
"""Most coordinates that a protected answer may have; bounds its norm l1, and thereby the noise of the shares."""

ANSWERS, PANEL, METRICS = "answers", "panel", "metrics"
"""The kinds of releases of a run: every round's answers, the items that clients have, the student's quality."""


@dataclass(frozen=True)
class Way:
    """The way of an answer: what happens or holds at each place, in a few words; empty for nothing.

    Attributes
    ----------
    client, total, server, models : str
        At the client, of the sum, at the server, and for whoever sees models.
    single : str
        A single answer, where the server sees it.
    attacked : str
        A sentence on what attacks on single answers see.
    """

    client: str
    total: str
    server: str
    models: str
    single: str
    attacked: str = ""


@dataclass(frozen=True)
class Mechanism(ABC):
    """The noise of one kind of release, fixed before the run and derived from public numbers alone.

    A mechanism of your own is a subclass in your own module; ``privacy.mode`` takes its ``package.module:Class``.

    Attributes
    ----------
    guarantee : Guarantee
        The budget, and for whom it holds.
    participants : int
        Clients asked in a round, a public constant; never the number that happened to answer.
    releases : int
        How often one client contributes in the whole run, at most.
    portion : float
        Share of the budget that these releases may use together, as costs add up.

    Notes
    -----
    Class attributes describe a mechanism to whoever plans, pays, checks or reports:

    - ``name`` of the mode, and ``strength``: a client answers in its own weakest mode or a stronger one;
    - ``active``: anything is protected;
    - ``server_pays``, ``client_pays``: whose ledger a release is charged to; a client pays exactly where it adds noise;
    - ``alone``: a single answer carries all its noise; ``shared``: it carries a share, and must not be seen;
    - ``trust``: a plain sentence on who is trusted, and what is noised; ``afterword``: one more; ``way``.
    """

    name: ClassVar[str]
    strength: ClassVar[int]
    active: ClassVar[bool] = True
    server_pays: ClassVar[bool] = False
    client_pays: ClassVar[bool] = False
    alone: ClassVar[bool] = False
    shared: ClassVar[bool] = False
    trust: ClassVar[str]
    afterword: ClassVar[str] = ""
    way: ClassVar[Way]

    guarantee: Guarantee
    participants: int
    releases: int
    portion: float = 1.0

    @classmethod
    def unsaid(cls) -> list[str]:
        """Return the class attributes that a mechanism of one's own leaves out."""
        return [name for name in ("name", "strength", "trust", "way") if not hasattr(cls, name)]

    @classmethod
    def refusal(cls, guarantee: Guarantee) -> str | None:
        """Return why the mechanism cannot keep a guarantee; None where it can."""
        if guarantee.epsilon is None or guarantee.delta is None:
            return f"mode {cls.name} needs a budget; set privacy.epsilon=4 and privacy.delta=1e-5"
        return None

    @classmethod
    def sentence(cls, guarantee: Guarantee) -> str:
        """Return the plain sentences that log, report and ledger carry."""
        return (
            f"Privacy mode {cls.name}: epsilon {guarantee.epsilon:g} at delta {guarantee.delta:g} in total for one "
            f"{guarantee.unit} ({guarantee.adjacency}, no amplification by sampling); {cls.trust}."
            f"{cls.condition(guarantee)}{guarantee.parts_text}{cls.afterword}{guarantee.limit_text}"
        )

    @classmethod
    def condition(cls, guarantee: Guarantee) -> str:
        """Return a further sentence on what the promise rests on, with a blank before it; empty without one."""
        del guarantee
        return ""

    # Noise and its cost

    @property
    def sensitivity(self) -> float:
        """How far one unit can move a sum, over the clip."""
        return 2.0 if self.guarantee.adjacency == "replace-one" else 1.0

    @cached_property
    def multiplier(self) -> float:
        """Noise of one release over the clip: on the sum, or where answers are noised alone on a single one."""
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
        """Return the way of answers of some form, without masks."""
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
        """Return the coding of a protected answer; sums of all participants and the noise never wrap around."""
        assert spec.clip is not None
        limit = round(1 / FINEST)
        room = self.participants * limit + math.ceil(20 * self.noise * limit)
        return Quantiser(spec.clip * FINEST, -limit, limit, (2 * room).bit_length())

    def contribution(self, values: Any, spec: Spec, count: int) -> Any:
        """Return what leaves some clients together: their values bounded, coded and summed, with the clients' noise.

        Parameters
        ----------
        values : ndarray or LowRankUpdate
            One leading row per client, or factors.
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
        """Return the noise of another kind of release, ``panel`` or ``metrics``; None where the run makes none."""
        share = {PANEL: self.guarantee.panel_share, METRICS: self.guarantee.metrics_share}[kind]
        if not (self.active and share):
            return None
        return self.beside(share * (1 - ROUNDING))

    def beside(self, portion: float) -> "Mechanism":
        """Return the noise of one release that uses a portion of the budget beside the answers."""
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
        """Return the line about a release that is written down before it is made: its noise, and epsilon with it."""
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
        """Return the account of whoever makes the releases.

        Parameters
        ----------
        folder : Path
            Where the ledger lies without ``privacy.ledger``.
        source : str
            Names the data.
        own : Budget, optional
            The owner's, instead of the configured one.
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
