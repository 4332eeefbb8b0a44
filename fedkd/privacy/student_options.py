"""The guarantee of noisy training of a client's own student, and the noise that keeps to it.

DP-SGD (Abadi et al., Deep learning with differential privacy, CCS 2016) with Poisson sampling; a training example is
one history. The protected unit is one of two:

- ``interaction``: the content of a history. One interaction more or less may turn the history's clipped gradient into
  any other, so a whole history is replaced by another (replace-one): in a step two clips apart if it is sampled. The
  noise comes from privacy loss distributions (``fedkd.privacy.accounting``).
- ``user``: whether a history is there (add-remove), with noise from Opacus' ``PRVAccountant`` (Gopi, Lee & Wutschitz,
  Numerical composition of differential privacy, NeurIPS 2021), which supports only this adjacency.
"""

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field

from fedkd.errors import UserError
from fedkd.options import Options
from fedkd.privacy.accounting import epsilon, noise_multiplier
from fedkd.privacy.budget import Budget
from fedkd.privacy.events import Adjacency, Cost

Unit = Literal["interaction", "user"]

ADJACENCY: dict[Unit, Adjacency] = {"interaction": "replace-one", "user": "add-remove"}

HIDDEN: dict[Unit, str] = {
    "interaction": "one interaction, or any other change inside one history",
    "user": "one user's whole history, present or not",
}
"""The protected change, in words."""

SHOWN: dict[Unit, str] = {
    "interaction": "It is no secret that a client takes part, nor with how many histories. ",
    "user": "",
}
"""Facts that the budget does not hide."""

WHOLE_ORDERS = range(2, 64)
"""Those of Opacus' own orders that are whole."""

TOLERANCE = 0.01
"""Distance below the budget that a calibrated epsilon may stay, over the smaller of the budget and 1."""


class StudentPrivacy(Options):
    """Differential privacy of every client's student, in addition to the protection of answers.

    Attributes
    ----------
    epsilon, delta : float, optional
        Budget of one unit for the training of all rounds together; without epsilon students are not noised.
    unit : str
        ``interaction``: any change inside one history. This is the default, because a device with one user is known to
        take part and must hide only its user's interactions. ``user``: whether a history is there at all, which suits
        silos of many users and takes less noise.
    clip : float
        Largest Euclidean norm of the gradient of one history.
    rate : float
        Probability that a history takes part in a step (Poisson sampling, kept secret).
    steps : int
        Steps of a round, the same for every client, with data or without.
    histories : float
        Public estimate of a client's number of histories; it scales the steps, and is never read from the data.
    epsilon_limit : float, optional
        Budget of the training of all runs that share a ledger, at the same delta; the run's own epsilon without it.
        Runs with other noise, rates or numbers of steps need ``privacy.adaptive`` from the first run on.
    """

    epsilon: float | None = Field(default=None, ge=0.01, le=1000)
    delta: float = Field(default=1e-5, ge=1e-12, le=1e-2)
    unit: Unit = "interaction"
    clip: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    rate: float = Field(default=0.2, gt=0, le=1)
    steps: int = Field(default=20, ge=1)
    histories: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    epsilon_limit: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @property
    def adjacency(self) -> Adjacency:
        """Adjacency of a client's histories that follows from the unit."""
        return ADJACENCY[self.unit]

    def multiplier(self, rounds: int) -> float:
        """Return the noise over the clip that keeps all steps of some rounds to the budget; 0 without a budget.

        Raises
        ------
        UserError
            No noise does.
        """
        if self.epsilon is None:
            return 0.0
        return calibrated(self.adjacency, self.epsilon, self.delta, self.rate, self.steps * rounds)

    def cost(self, planned: int) -> Cost:
        """Return the cost of the steps of one of the planned rounds; a ``UserError`` without a budget."""
        return Cost.of_steps(self.adjacency, self.multiplier(planned), self.rate, self.steps)

    def limit(self, planned: int, adaptive: bool) -> Budget:
        """Return the budget of one owner for the training in all runs that share a ledger; needs a budget.

        Raises
        ------
        UserError
            An adaptive budget without room for the planned rounds.
        """
        most = self.epsilon_limit or self.epsilon or 0.0
        limit, whole = Budget(most, self.delta, self.adjacency, adaptive), self.cost(planned).times(planned)
        if adaptive:
            limit.check_room(whole, "privacy.student.epsilon-limit")
            return limit
        # Two upper bounds of the same schedule, this and the one that chose the noise, may differ by a per cent or so.
        return replace(limit, epsilon=max(most, epsilon(whole, self.delta)))

    def summary(self, rounds: int, planned: int) -> dict[str, str | float]:
        """Return the cost of some of the planned rounds to one client, with its conditions; needs a budget."""
        cost = self.cost(planned)
        return {
            "epsilon": epsilon(cost.times(rounds), self.delta) if rounds else 0.0,
            "delta": self.delta,
            "unit": self.unit,
            "adjacency": self.adjacency,
            "sampling": "Poisson",
            "noise-multiplier": self.multiplier(planned),
        }

    def mechanism(self, planned: int) -> str:
        """Return unit, adjacency, sampling and noise in short, for ledgers."""
        return (
            f"student, unit {self.unit}, {self.adjacency}, Poisson rate {self.rate:g}, {self.steps} steps, "
            f"noise {self.multiplier(planned):.4g}"
        )

    def statement(self, rounds: int) -> str:
        """Return the plain sentence of log and report; empty without a budget."""
        if self.epsilon is None:
            return ""
        most = f", up to epsilon {self.epsilon_limit:g}" if self.epsilon_limit else ""
        return (
            f"Students are trained under DP-SGD: epsilon {self.epsilon:g} at delta {self.delta:g} for "
            f"{HIDDEN[self.unit]} ({self.adjacency}, secret Poisson sampling at rate {self.rate:g}, {self.steps} steps "
            f"in each of {rounds} rounds, noise multiplier {self.multiplier(rounds):.3g}). {SHOWN[self.unit]}Every "
            f"client pays for its rounds from an account of its own that all runs with one ledger share{most}. That "
            "covers the students and what is computed from them, not the metrics that clients send beside."
        )


@lru_cache(maxsize=256)
def calibrated(adjacency: Adjacency, epsilon: float, delta: float, rate: float, steps: int) -> float:
    """Return the smallest noise, over the clip, that keeps equal steps on Poisson samples to a budget.

    Raises
    ------
    UserError
        No noise does.
    """
    try:
        if adjacency == "replace-one":
            return noise_multiplier(epsilon, delta, steps, rate, adjacency, "poisson")
        return _by_opacus(epsilon, delta, rate, steps)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise UserError(
            f"no noise keeps {steps} steps at rate {rate:g} to epsilon {epsilon:g} at delta {delta:g} ({error}); raise "
            "privacy.student.epsilon, or lower rate, steps or rounds"
        ) from error


def _by_opacus(epsilon: float, delta: float, rate: float, steps: int) -> float:
    accountants = _opacus()
    # Warnings are of divisions and orders inside its search, which nobody can act on.
    with warnings.catch_warnings(action="ignore"), _whole_orders(accountants.RDPAccountant):
        found = accountants.utils.get_noise_multiplier(
            target_epsilon=epsilon,
            target_delta=delta,
            sample_rate=rate,
            steps=steps,
            accountant="prv",
            epsilon_tolerance=TOLERANCE * min(1.0, epsilon),
        )
    return float(found)


@contextmanager
def _whole_orders(accountant: Any) -> Iterator[None]:
    """Let Opacus' ``PRVAccountant`` lay its grid by whole orders of the Renyi divergence, so that it takes a quarter.

    Orders bound how far the grid must reach, any of them from above. Divergences of fractional orders are long series.
    """
    kept, accountant.DEFAULT_ALPHAS = accountant.DEFAULT_ALPHAS, WHOLE_ORDERS
    try:
        yield
    finally:
        accountant.DEFAULT_ALPHAS = kept


def _opacus() -> Any:
    """Return Opacus' accountants: imported late, as it takes seconds, and without the log handler that it installs."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    importlib.import_module("opacus.accountants.utils")
    root.handlers[:] = handlers
    return importlib.import_module("opacus.accountants")
