"""Where the noise of a run goes, and how much: derived from the configuration, and from public numbers alone."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.aggregation.clipping import clipped
from fedkd.aggregation.quantisation import coded
from fedkd.errors import UserError
from fedkd.messages.types import Answers, Grid, Spec
from fedkd.privacy.accounting import epsilon, renyi_multiplier
from fedkd.privacy.budget import Budget
from fedkd.privacy.events import Cost, skellam_cost, total
from fedkd.privacy.gaussian import noise_multiplier
from fedkd.privacy.ledger_account import Account, open_ledger
from fedkd.privacy.options import PrivacyOptions
from fedkd.privacy.randomness import noise_generator, rounded_normal
from fedkd.privacy.skellam import skellam, skellam_multiplier

FINEST = 2.0**-16
"""The grid of protected answers, over the clip: so fine that rounding adds next to nothing to the noise."""

ROUNDING = 1e-6
"""What a part of a budget leaves unused of itself, so that parts solved one by one never exceed the whole together."""

MASKED_BITS = 56
"""Of the modulus of masked sums of floats."""

WIDEST = 1 << 24
"""Most coordinates that a protected answer may have; bounds its norm l1, and thereby the noise of the shares."""


@dataclass(frozen=True)
class Protection:
    """The noise of every release, fixed before the run.

    Attributes
    ----------
    options : PrivacyOptions
        Mode and budget.
    participants : int
        Clients asked in a round, a public constant; never the number that happened to answer.
    releases : int
        How often one client contributes in the whole run, at most.
    portion : float
        Share of the budget that these releases may use together, as costs add up.
    """

    options: PrivacyOptions
    participants: int
    releases: int
    portion: float = 1.0

    @property
    def active(self) -> bool:
        """Whether anything is protected."""
        return self.options.mode != "none"

    @property
    def sensitivity(self) -> float:
        """How far one unit can move a sum, over the clip."""
        return 2.0 if self.options.adjacency == "replace-one" else 1.0

    @cached_property
    def multiplier(self) -> float:
        """Noise of one release over the clip: on the sum, or in local mode on a single answer."""
        budget, delta = self.options.budget
        releases = self.releases / self.portion
        if self.options.votes == "noisy-max":
            return self.sensitivity * renyi_multiplier(budget, delta) * math.sqrt(releases)
        if self.options.mode != "distributed":
            return self.sensitivity * noise_multiplier(budget, delta, releases)
        steps = self.sensitivity / FINEST
        one = skellam_multiplier(budget, delta, steps, steps * math.sqrt(WIDEST), releases)
        return self.sensitivity * one

    @cached_property
    def cost(self) -> Cost:
        """What one release costs everyone who contributes to it."""
        if not self._shared:
            alone = self.options.votes != "noisy-max"  # what stands beside noisy maxima counts as they do
            return replace(Cost.of_gaussian(self.multiplier / self.sensitivity), gaussian=alone)
        steps = self.sensitivity / FINEST
        return skellam_cost((self.multiplier / FINEST) ** 2, steps, steps * math.sqrt(WIDEST))

    @property
    def mechanism(self) -> str:
        """The mechanism, for people."""
        return f"{'Skellam' if self._shared else 'Gaussian'} noise, multiplier {self.multiplier:.4g}"

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
        options = self.options
        limit = replace(own or self.limit, adjacency=options.adjacency)
        about = f"{options.mode}, one {options.unit}, {options.adjacency}, no amplification"
        note = f"{about}, {self.mechanism}"
        ledger = open_ledger(options.ledger or folder / "privacy.ledger")
        return Account(ledger, source, self.cost, limit, note, naming)

    @cached_property
    def noise(self) -> float:
        """Standard deviation of the noise on a round's sum, over the clip; 0 where nothing is protected."""
        if not self.active:
            return 0.0
        if self.options.mode == "local":
            return self.multiplier * math.sqrt(self.participants)
        return self.multiplier / math.sqrt(self._honest / self.participants if self._shared else 1.0)

    @property
    def quorum(self) -> int:
        """Fewest answers whose sum carries all the noise."""
        return self._honest if self._shared else 1

    def grid(self, spec: Spec) -> Grid:
        """Return the grid on which a protected answer is coded; sums of all participants and the noise never wrap."""
        assert spec.clip is not None
        limit = round(1 / FINEST)
        room = self.participants * limit + math.ceil(20 * self.noise * limit)
        return Grid(spec.clip * FINEST, -limit, limit, (2 * room).bit_length())

    def specs(self, specs: Mapping[str, Spec]) -> Mapping[str, Spec]:
        """Return what answers look like under protection: bounded, summed, on a fine grid.

        Raises
        ------
        UserError
            An answer that has no bound, or that does not sum.
        """
        if not self.active:
            return specs
        if len(specs) != 1:
            raise UserError(
                f"the arrays {sorted(specs)} would each use the whole budget; protected answers are one array"
            )
        for name, spec in specs.items():
            if spec.clip is None or not spec.sums:
                raise UserError(f"{name} has no bound or does not sum, so mode {self.options.mode} cannot protect it")
            if math.prod(spec.shape) > WIDEST:
                raise UserError(f"{name} has {math.prod(spec.shape)} numbers; at most {WIDEST} can be protected")
        return {name: replace(spec, grid=self.grid(spec)) for name, spec in specs.items()}

    def maskable(self, specs: Mapping[str, Spec]) -> Mapping[str, Spec]:
        """Return what answers look like in a secure sum: floats become whole numbers, so fine that nothing is lost.

        A step is the clip (or 1) over 2**24; what a client sends is cut where sums of all could wrap around, at some
        100,000 clips among 10,000 clients.
        """
        limit = (1 << MASKED_BITS - 2) // self.participants
        return {
            name: spec
            if spec.grid is not None
            else replace(spec, grid=Grid((spec.clip or 1.0) * 2.0**-24, -limit, limit, MASKED_BITS))
            for name, spec in specs.items()
        }

    def contribution(self, answers: Answers, specs: Mapping[str, Spec]) -> dict[str, Any]:
        """Return what leaves some clients together: every one's values bounded, coded, summed, with their noise."""
        count = len(answers.clients)
        bounded = {name: coded(clipped(answers.values[name], spec, count), spec) for name, spec in specs.items()}
        return self._noised(count, bounded)

    def _noised(self, count: int, values: Mapping[str, NDArray[np.int64]]) -> dict[str, Any]:
        """Return sums of ``count`` clients with the noise that these clients add before anything leaves.

        Sums of Skellam numbers are Skellam numbers, and rounded Gaussian ones are drawn client by client, so the noise
        of a simulated cohort is what its clients would have added one by one.
        """
        mode, scale = self.options.mode, self.multiplier / FINEST
        if mode in ("none", "central") or not count:
            return dict(values)
        if mode == "distributed":
            variance = count * scale**2 / self._honest
            return {n: v + skellam(variance, v.shape, noise_generator()) for n, v in values.items()}
        return {n: v + rounded_normal(scale, count, v.shape, noise_generator()) for n, v in values.items()}

    def sum(self, answers: Answers, specs: Mapping[str, Spec]) -> Answers:
        """Return a round's sum, in the units of the answers, with the noise that a trusted server adds."""
        values = dict(answers.values)
        if self.options.mode == "central":
            scale, generator = self.multiplier / FINEST, noise_generator()
            values = {n: v + rounded_normal(scale, 1, np.shape(v), generator) for n, v in values.items()}
        return replace(answers, values={n: v * _step(specs[n]) for n, v in values.items()})

    def charged(self, spent: float) -> dict[str, float | str]:
        """Return what a release costs, and epsilon with it, as they are written down before the release."""
        return {
            "mode": self.options.mode,
            "mechanism": self.mechanism,
            **self.conditions,
            "noise-multiplier": self.multiplier,
            "epsilon-so-far": spent,
        }

    @property
    def conditions(self) -> dict[str, float | str]:
        """What every epsilon is about."""
        options = self.options
        return {
            "unit": options.unit,
            "delta": options.budget[1],
            "adjacency": options.adjacency,
            "sampling": "no amplification",
        }

    def spent(self, rounds: int, measured: bool = False) -> float:
        """Return epsilon at the budget's delta after so many rounds.

        The release before the first is in it, and the release of metrics if it is made.
        """
        releases = min(rounds, self.releases)
        budget, delta = self.options.budget
        if not self.active or (releases == self.releases and self.portion == 1):
            return budget
        return min(budget, epsilon(self._together(releases, measured), delta))

    @property
    def limit(self) -> Budget:
        """What everything released about one owner's data may cost, in all runs that share a ledger."""
        epsilon, delta = self.options.budget
        most = self.options.epsilon_limit or epsilon
        return Budget(most, delta, self.options.adjacency, self.options.adaptive)

    def check(self) -> "Protection":
        """Return the protection if all of its releases may be made.

        Raises
        ------
        UserError
            An adaptive budget without room for them; the message says how much is needed.
        """
        if self.active and self.options.adaptive:
            self.limit.check_room(self._together(self.releases, True), "privacy.epsilon-limit")
        return self

    def _together(self, releases: int, measured: bool) -> Cost:
        others = [part.cost for part in (self.panel, self.metrics if measured else None) if part is not None]
        return total([self.cost.times(releases), *others])

    @property
    def panel(self) -> "Protection | None":
        """The noise of the one release, before all others, of what items clients have; None where there is none."""
        return self._part(self.options.panel_share)

    @property
    def metrics(self) -> "Protection | None":
        """The noise of the one release of metrics, after all others; None where there is none."""
        return self._part(self.options.metrics_share)

    def _part(self, share: float) -> "Protection | None":
        if not (self.active and share):
            return None
        return Protection(self.options, self.participants, 1, share * (1 - ROUNDING))

    @property
    def _shared(self) -> bool:
        return self.options.mode == "distributed"

    @property
    def _honest(self) -> int:
        return max(1, math.floor(self.options.honest_fraction * self.participants))


OPEN = Protection(PrivacyOptions(), 1, 1)
"""Nothing is protected."""


def _step(spec: Spec) -> float:
    assert spec.grid is not None
    return spec.grid.step
