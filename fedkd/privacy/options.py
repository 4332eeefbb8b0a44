"""The privacy part of a configuration."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from fedkd.errors import UserError
from fedkd.privacy.guarantee import Guarantee
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.privacy.mechanisms.table import MECHANISMS, VOTE_MECHANISMS
from fedkd.privacy.mechanisms.votes import VoteMechanism
from fedkd.privacy.student_options import StudentPrivacy

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
"""The server's view of answers that sum."""

SINGLE = "These answers do not sum and are not masked: the server sees every single one."
"""The server's view of other answers."""

ONE_BY_ONE = "Devices report the quality of their own recommendations one by one."
"""The server's further view, where nothing is protected or masked."""

LEAST_SHARE = 0.05
"""Smallest share of the budget for the answers themselves."""

GAUSSIAN = "gaussian"
"""Name under which votes are noised by the mode, as any other answer."""


class PrivacyOptions(Guarantee):
    """Protection of answers: one total budget for the whole run.

    Attributes
    ----------
    mode : str
        ``none``; ``central``: the server adds noise to the sum; ``distributed``: every client adds a share of the
        noise; ``local``: every client adds all of it; or a mechanism of your own, ``package.module:Class``.
    votes : str
        Protection of votes, where answers are votes: ``gaussian`` noise on their sums as on any other; ``noisy-max``
        (mode central), which releases only the winners; ``randomised-response`` (mode local); or a mechanism of your
        own.
    sums : str
        ``secure``: clients on devices of their own mask their answers, so that the server sees only sums; a simulation
        adds them up inside its cohorts. ``clear``: the server sees every single answer.
    minimum_cohort : int
        Fewest clients whose secure sum may be opened; a client takes no part in a smaller one.
    student : StudentPrivacy
        Noise in the training of every client's student, in addition to the protection of answers.
    """

    mode: str = "none"
    votes: str = GAUSSIAN
    sums: Literal["secure", "clear"] = "secure"
    minimum_cohort: int = Field(default=10, ge=2)
    student: StudentPrivacy = StudentPrivacy()

    @field_validator("mode")
    @classmethod
    def _mode_exists(cls, mode: str) -> str:
        if unsaid := MECHANISMS.find(mode).unsaid():
            raise UserError(f"the privacy mechanism {mode} must define {', '.join(unsaid)}")
        return mode

    @field_validator("votes")
    @classmethod
    def _votes_exist(cls, votes: str) -> str:
        if votes != GAUSSIAN:
            VOTE_MECHANISMS.find(votes)
        return votes

    @property
    def mechanism(self) -> type[Mechanism]:
        """The mechanism of the mode, or that for votes."""
        return self.vote_mechanism or MECHANISMS.find(self.mode)

    @property
    def vote_mechanism(self) -> type[VoteMechanism] | None:
        """The mechanism for votes; None where they are noised as any other answer."""
        return None if self.votes == GAUSSIAN else VOTE_MECHANISMS.find(self.votes)

    @property
    def masked(self) -> bool:
        """Whether real clients mask their answers."""
        return self.sums == "secure"

    @model_validator(mode="after")
    def _whole(self) -> "PrivacyOptions":
        own = MECHANISMS.find(self.mode)
        if reason := self.mechanism.refusal(self):
            raise ValueError(reason)
        if self.mechanism.name != own.name:
            raise ValueError(
                f"votes={self.votes} is a mechanism of mode {self.mechanism.name}; set "
                f"privacy.mode={self.mechanism.name}"
            )
        if own.shared and not self.masked:
            raise ValueError(
                f"in mode {own.name} a client adds only a share of the noise, so its answer must not be seen alone; "
                "leave privacy.sums at secure, or set privacy.mode=local"
            )
        if self.adaptive and not own.active and self.student.epsilon is None:
            raise ValueError(
                "adaptive says how a budget is counted, and there is none; leave privacy.adaptive out, or set "
                "privacy.mode, privacy.epsilon and privacy.delta"
            )
        if self.answers_share < LEAST_SHARE:
            raise ValueError(
                f"panel-share {self.panel_share:g} and metrics-share {self.metrics_share:g} leave "
                f"{max(0.0, self.answers_share):.0%} of the budget to the answers; at least {LEAST_SHARE:.0%} must be "
                "left to them: lower privacy.panel-share or privacy.metrics-share"
            )
        if self.epsilon_limit is not None and self.epsilon_limit < self.budget[0]:
            raise ValueError(
                f"epsilon-limit {self.epsilon_limit:g} is less than the {self.budget[0]:g} that this run spends; "
                "lower privacy.epsilon, or raise privacy.epsilon-limit"
            )
        return self

    @property
    def statement(self) -> str:
        """The plain sentences for log and report."""
        if not self.mechanism.active and self.student.epsilon is not None:
            return STUDENTS_ALONE
        return self.mechanism.sentence(self)

    def promise(self, summable: bool, rounds: int) -> str:
        """Return a run's privacy guarantee and its limits, in plain sentences.

        Parameters
        ----------
        summable : bool
            Whether the server needs only sums of the answers.
        rounds : int
            Planned rounds.
        """
        seen = SUMS[self.sums].format(self.minimum_cohort) if summable else SINGLE
        one_by_one = not self.mechanism.active and not (self.masked and summable)
        parts = (self.statement, seen, ONE_BY_ONE if one_by_one else "", self.student.statement(rounds))
        return " ".join(filter(None, parts))

    def planned(
        self, participants: int, releases: int, portion: float = 1.0, ballot: tuple[int, int] | None = None
    ) -> Mechanism:
        """Return the mechanism of a run's answers.

        Parameters
        ----------
        participants, releases, portion
            As of ``Mechanism``.
        ballot : tuple of int, optional
            How many votes an answer holds, and among how many items, where answers are votes.
        """
        if ballot is not None and (votes := self.vote_mechanism) is not None:
            return votes(self, participants, releases, portion, *ballot)
        return MECHANISMS.find(self.mode)(self, participants, releases, portion)
