"""The guarantee of a run: one total budget, the unit it protects, and its division among releases."""

import math
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from fedkd.options import Options
from fedkd.privacy.budget import Budget

Unit = Literal["user", "client"]


class Guarantee(Options):
    """The guarantee that a mechanism must keep; all its numbers are public.

    Attributes
    ----------
    epsilon, delta : float, optional
        The total that everything released about a unit may cost; a mode other than ``none`` needs both.
    unit : str
        The protected unit: ``user`` (each client is one user) or ``client`` (a silo with everyone in it).
    adjacency : str
        ``add-remove`` one unit, or ``replace-one`` by another, which takes twice the noise.
    honest_fraction : float
        Distributed mode: the share of the planned clients that must add their noise for the guarantee to hold.
    ledger : Path, optional
        File of the ledger, made absolute, so that a run continued from elsewhere finds it. Budgets belong to data, so
        runs on the same people's data must share it. By default it is in the data folder of a real server or client,
        and in the run folder of a simulation.
    panel_share : float
        Share of the budget for one first release of the items that clients have, from which the panel of the answers is
        chosen; 0 for no such release, and then only the public users show which items are popular.
    metrics_share : float
        Share of the budget for one last release of the student's metrics on the devices; 0 for no such release, and
        then a real server under protection never learns them.
    epsilon_limit : float, optional
        The most that everything released about one unit may cost, at the same delta, in all runs that share a ledger;
        the run's own epsilon without it.
    adaptive : bool
        Whether those runs may differ in the kind of their noise and in the training of their students, and be chosen
        from the results of earlier ones. A Renyi filter then counts them, which needs more room than a run's own
        epsilon; the first run fixes this for good. Without it runs may differ only in the amount of Gaussian noise.
    """

    epsilon: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    delta: float | None = Field(default=None, gt=0, lt=1)
    unit: Unit = "user"
    adjacency: Literal["add-remove", "replace-one"] = "add-remove"
    honest_fraction: float = Field(default=0.9, gt=0, le=1)
    ledger: Path | None = None
    panel_share: float = Field(default=0.0, ge=0, le=0.9)
    metrics_share: float = Field(default=0.0, ge=0, le=0.9)
    epsilon_limit: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    adaptive: bool = False

    @field_validator("ledger")
    @classmethod
    def _absolute(cls, ledger: Path | None) -> Path | None:
        return None if ledger is None else ledger.expanduser().absolute()

    @property
    def answers_share(self) -> float:
        """Share of the budget for the answers themselves."""
        return 1 - self.panel_share - self.metrics_share

    @property
    def budget(self) -> tuple[float, float]:
        """Epsilon and delta; infinite and 1 where there is no budget."""
        return (math.inf, 1.0) if self.epsilon is None or self.delta is None else (self.epsilon, self.delta)

    @property
    def limit(self) -> Budget:
        """The most that everything released about one owner's data may cost, in all runs that share a ledger."""
        epsilon, delta = self.budget
        return Budget(self.epsilon_limit or epsilon, delta, self.adjacency, self.adaptive)

    @property
    def conditions(self) -> dict[str, float | str]:
        """The conditions of every epsilon: unit, delta, adjacency and sampling."""
        return {
            "unit": self.unit,
            "delta": self.budget[1],
            "adjacency": self.adjacency,
            "sampling": "no amplification",
        }

    @property
    def conditions_text(self) -> str:
        """The same in a few words."""
        return f"delta {self.budget[1]:g}, one {self.unit}, {self.adjacency}, no amplification"

    @property
    def parts_text(self) -> str:
        """Sentences on the releases that are paid from parts of the budget, each after a blank; empty without any."""
        parts = {
            "what items clients have, before the first round": self.panel_share,
            "the student's quality on the devices": self.metrics_share,
        }
        return "".join(
            f" {share:.0%} of that budget pays for one release of {what}, noised in the same way."
            for what, share in parts.items()
            if share
        )

    @property
    def limit_text(self) -> str:
        """A sentence on the limit of all runs that share a ledger, after a blank; empty without one."""
        counted = ", counted by a Renyi filter" if self.adaptive else ""
        if self.epsilon_limit is None:
            return ""
        return (
            f" What one ledger counts about one {self.unit} may cost epsilon {self.epsilon_limit:g} in all runs "
            f"together{counted}; the server's releases (mode central), those of clients, and the training of students "
            "are counted apart."
        )
