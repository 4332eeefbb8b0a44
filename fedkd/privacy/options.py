"""The privacy of a run, as a person writes it down."""

import math
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from fedkd.options import Options
from fedkd.privacy.student_options import StudentPrivacy

Mode = Literal["none", "central", "distributed", "local"]

UNPROTECTED = (
    "Privacy mode none: answers are not noised, and whoever sees one client's answer can read that client's history "
    "from it."
)

STUDENTS_ALONE = (
    "Privacy mode none: no noise is added to answers, only to the training of the students that they come from."
)

SUMS = {
    "secure": (
        "Clients on devices of their own mask their answers, and what they say of the student's quality: the server "
        "sees sums of at least {} of them, and no single answer. A simulation masks nothing; it takes the sums inside "
        "its cohorts."
    ),
    "clear": "Answers are not masked: the server sees every single one.",
}
"""What a server sees of answers that sum."""

SINGLE = "These answers do not sum and are not masked: the server sees every single one."
"""What a server sees of other answers."""

ONE_BY_ONE = "Devices report the quality of their own recommendations one by one."
"""What it sees besides, where nothing is protected or masked."""

TRUST: dict[str, str] = {
    "central": (
        "the server is trusted with the exact sum of the answers, and adds the noise to it before anything is taught; "
        "whoever sees only models learns at most this"
    ),
    "distributed": (
        "every client adds a share of the noise, and the sum is private against whoever sees the sum alone, as long as "
        "the stated share of the planned clients is honest and stays; single answers carry too little noise to be seen"
    ),
    "local": (
        "nobody is trusted: every client adds all the noise to its own answer before it leaves; add-remove hides an "
        "answer against an empty one, replace-one against that of any other history"
    ),
}
"""Who is trusted in a mode, and what is noised."""


BALLOTS = {
    "noisy-max": "Of every vote the server tells the winner under Gumbel noise, and no count.",
    "randomised-response": (
        "Every client replaces each of its choices by an even draw with a public probability, in place of noise."
    ),
}
"""How votes leave under mechanisms of their own."""

LEAST_SHARE = 0.05
"""Of the budget, for the answers themselves."""


class PrivacyOptions(Options):
    """How answers are protected: one total budget for the whole run.

    Attributes
    ----------
    mode : str
        ``none``; ``central``: the server adds noise to the sum; ``distributed``: every client adds a share of the
        noise; ``local``: every client adds all of it.
    epsilon, delta : float, optional
        The total that everything released about a unit may cost; a mode other than ``none`` needs both.
    unit : str
        Whose presence is hidden: ``user`` (each client is one user) or ``client`` (a silo with everyone in it).
    adjacency : str
        ``add-remove`` one unit, or ``replace-one`` by another, which takes twice the noise.
    honest_fraction : float
        Distributed mode: the share of the planned clients that must add their noise for the guarantee to hold.
    votes : str
        How votes are protected, where answers are votes: ``gaussian`` noise on their sums as on any other;
        ``noisy-max`` (mode central), which tells the winners alone; ``randomised-response`` (mode local).
    sums : str
        ``secure``: clients on devices of their own mask their answers, so that the server sees sums alone; a simulation
        takes them inside its cohorts. ``clear``: the server sees every single answer.
    minimum_cohort : int
        Fewest clients whose secure sum may be opened; a client takes no part in a smaller one.
    ledger : Path, optional
        File of the ledger, made absolute, so that a run continued from elsewhere finds it. Budgets belong to data, so
        runs on the same people's data must share it. Without it, it lies with the data of a real server or client, and
        in the run folder of a simulation, which is a world of its own.
    student : StudentPrivacy
        Noise on the training of every client's student, beside all this.
    panel_share : float
        Share of the budget for one first release of what items clients have, by which items are chosen that answers are
        about; 0 for none, and then the public users alone say what is popular.
    metrics_share : float
        Share of the budget for one last release of how good the student is on the devices; 0 for none, and then a real
        server under protection never learns it.
    epsilon_limit : float, optional
        What everything released about one unit may cost, at the same delta, in all runs that share a ledger; the
        run's own epsilon without it.
    adaptive : bool
        Whether those runs may differ in the kind of their noise and in the training of their students, and be chosen
        after earlier ones were seen. A Renyi filter counts them, which needs more room than a run's own epsilon, and
        the first run fixes for good whether it does. Without it Gaussian noise alone may differ from run to run.
    """

    mode: Mode = "none"
    epsilon: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    delta: float | None = Field(default=None, gt=0, lt=1)
    unit: Literal["user", "client"] = "user"
    adjacency: Literal["add-remove", "replace-one"] = "add-remove"
    honest_fraction: float = Field(default=0.9, gt=0, le=1)
    votes: Literal["gaussian", "noisy-max", "randomised-response"] = "gaussian"
    sums: Literal["secure", "clear"] = "secure"
    minimum_cohort: int = Field(default=10, ge=2)
    ledger: Path | None = None
    student: StudentPrivacy = StudentPrivacy()
    panel_share: float = Field(default=0.0, ge=0, le=0.9)
    metrics_share: float = Field(default=0.0, ge=0, le=0.9)
    epsilon_limit: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    adaptive: bool = False

    @field_validator("ledger")
    @classmethod
    def _absolute(cls, ledger: Path | None) -> Path | None:
        return None if ledger is None else ledger.expanduser().absolute()

    @model_validator(mode="after")
    def _whole(self) -> "PrivacyOptions":
        given = [value is not None for value in (self.epsilon, self.delta)]
        if self.mode == "none" and any(given):
            raise ValueError("epsilon and delta do nothing in mode none; set privacy.mode=central, or leave them out")
        if self.mode != "none" and not all(given):
            raise ValueError(f"mode {self.mode} needs a budget; set privacy.epsilon=4 and privacy.delta=1e-5")
        if self.mode == "none" and (self.metrics_share or self.panel_share):
            raise ValueError(
                "in mode none there is no budget to share; leave panel-share and metrics-share out, or set "
                "privacy.mode=central"
            )
        if self.votes == "noisy-max" and self.mode != "central":
            raise ValueError("votes=noisy-max needs a server that is trusted with the votes; set privacy.mode=central")
        if self.votes == "randomised-response" and (self.mode, self.adjacency) != ("local", "replace-one"):
            raise ValueError(
                "votes=randomised-response hides what a client votes for, not that it votes; set privacy.mode=local "
                "and privacy.adjacency=replace-one"
            )
        if self.adaptive and self.mode == "none" and self.student.epsilon is None:
            raise ValueError("adaptive says how a budget is counted, and there is none; leave it out, or set one")
        if self.answers_share < LEAST_SHARE:
            raise ValueError(
                f"panel-share {self.panel_share:g} and metrics-share {self.metrics_share:g} leave "
                f"{max(0.0, self.answers_share):.0%} of the budget to the answers; at least {LEAST_SHARE:.0%} must be "
                "left to them"
            )
        if self.epsilon_limit is not None and self.epsilon_limit < self.budget[0]:
            raise ValueError(
                f"epsilon-limit {self.epsilon_limit:g} is less than the {self.budget[0]:g} that this run spends; "
                "lower privacy.epsilon, or raise privacy.epsilon-limit"
            )
        return self

    @property
    def answers_share(self) -> float:
        """Share of the budget for the answers themselves."""
        return 1 - self.panel_share - self.metrics_share

    @property
    def budget(self) -> tuple[float, float]:
        """Epsilon and delta; infinite and 1 where there is no budget."""
        return (math.inf, 1.0) if self.epsilon is None or self.delta is None else (self.epsilon, self.delta)

    @property
    def statement(self) -> str:
        """The plain sentence that log and report carry."""
        if self.mode == "none":
            return UNPROTECTED if self.student.epsilon is None else STUDENTS_ALONE
        return (
            f"Privacy mode {self.mode}: epsilon {self.epsilon:g} at delta {self.delta:g} in total for one {self.unit} "
            f"({self.adjacency}, no amplification by sampling); {TRUST[self.mode]}."
            f"{self._of_honesty}{self._of_parts}{self._of_runs}"
        )

    @property
    def _of_honesty(self) -> str:
        return f" That share is {self.honest_fraction:.0%}." if self.mode == "distributed" else ""

    @property
    def _of_parts(self) -> str:
        parts = {
            "what items clients have, before the first round": self.panel_share,
            "the student's quality on the devices": self.metrics_share,
        }
        return "".join(
            f" {share:.0%} of that budget pays for one release of {what}, noised in the same way."
            for what, share in parts.items()
            if share
        ) + ("" if self.votes == "gaussian" else f" {BALLOTS[self.votes]}")

    @property
    def _of_runs(self) -> str:
        counted = ", counted by a Renyi filter" if self.adaptive else ""
        if self.epsilon_limit is None:
            return ""
        return (
            f" What one ledger counts about one {self.unit} may cost epsilon {self.epsilon_limit:g} in all runs "
            f"together{counted}; the server's releases (mode central), those of clients, and the training of students "
            "are counted apart."
        )
