"""What noisy training of a client's own student promises, and the noise that keeps to it.

DP-SGD (Abadi et al., Deep learning with differential privacy, CCS 2016) with Poisson sampling, calibrated and accounted
by Opacus' ``PRVAccountant`` (Gopi, Lee & Wutschitz, Numerical composition of differential privacy, NeurIPS 2021). The
unit is one training example, added or removed: the history of one user.
"""

import importlib
import logging
from functools import lru_cache
from typing import Any

from pydantic import Field

from fedkd.errors import UserError
from fedkd.options import Options

TOLERANCE = 0.01
"""How far below the budget a calibrated epsilon may stay, over the smaller of the budget and 1."""


class StudentPrivacy(Options):
    """Differential privacy of every client's student, beside whatever protects the answers.

    Attributes
    ----------
    epsilon, delta : float, optional
        What the training of all rounds together may cost one user's history; without epsilon students are not noised.
    clip : float
        Largest Euclidean norm of the gradient of one history.
    rate : float
        Probability that a history takes part in a step (Poisson sampling, kept secret).
    steps : int
        Steps of a round, the same for every client, with data or without.
    histories : float
        How many histories a client is publicly known to have about; scales the steps, and is never read off the data.
    """

    epsilon: float | None = Field(default=None, ge=0.01, le=1000)
    delta: float = Field(default=1e-5, ge=1e-12, le=1e-2)
    clip: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    rate: float = Field(default=0.2, gt=0, le=1)
    steps: int = Field(default=20, ge=1)
    histories: float = Field(default=1.0, gt=0, allow_inf_nan=False)

    def multiplier(self, rounds: int) -> float:
        """Return the noise over the clip that keeps all steps of so many rounds to the budget; 0 without a budget.

        Raises
        ------
        UserError
            No noise does.
        """
        if self.epsilon is None:
            return 0.0
        return calibrated(self.epsilon, self.delta, self.rate, self.steps * rounds)

    def spent(self, rounds: int, planned: int) -> float:
        """Return epsilon after some of the planned rounds, from above; infinite without a budget."""
        if rounds == 0:
            return 0.0
        multiplier = self.multiplier(planned)
        return spent(multiplier, self.rate, self.steps * rounds, self.delta) if multiplier else float("inf")

    def statement(self, rounds: int) -> str:
        """Return the plain sentence of log and report; empty without a budget."""
        if self.epsilon is None:
            return ""
        return (
            f"Students are trained under DP-SGD: epsilon {self.epsilon:g} at delta {self.delta:g} for one user's "
            f"history (add-remove, secret Poisson sampling at rate {self.rate:g}, {self.steps} steps in each of "
            f"{rounds} rounds, noise multiplier {self.multiplier(rounds):.3g}), and every client pays for "
            "its rounds from an account of its own that all runs with the same ledger share. That covers the students "
            "and what is computed from them, not the weights and metrics that clients send beside."
        )


@lru_cache(maxsize=256)
def calibrated(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """Return the smallest noise, over the clip, that keeps equal steps on Poisson samples to a budget."""
    accounting = _opacus()
    try:
        found = accounting.utils.get_noise_multiplier(
            target_epsilon=epsilon,
            target_delta=delta,
            sample_rate=rate,
            steps=steps,
            accountant="prv",
            epsilon_tolerance=TOLERANCE * min(1.0, epsilon),
        )
    except (ValueError, RuntimeError, MemoryError) as error:
        raise UserError(
            f"no noise keeps {steps} steps at rate {rate:g} to epsilon {epsilon:g} at delta {delta:g} ({error}); raise "
            "privacy.student.epsilon, or lower rate, steps or rounds"
        ) from error
    return float(found)


@lru_cache(maxsize=256)
def spent(multiplier: float, rate: float, steps: int, delta: float) -> float:
    """Return epsilon of equal steps on Poisson samples, from above."""
    accountant = _opacus().PRVAccountant()
    accountant.history = [(multiplier, rate, steps)]
    return float(accountant.get_epsilon(delta))


def _opacus() -> Any:
    """Return Opacus' accountants: imported late, as it takes seconds, and without the log handler that it installs."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    importlib.import_module("opacus.accountants.utils")
    root.handlers[:] = handlers
    return importlib.import_module("opacus.accountants")
