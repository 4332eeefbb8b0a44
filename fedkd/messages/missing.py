"""Reasons for missing answers of clients."""

from dataclasses import dataclass
from enum import Enum


class Missing(Enum):
    """A reason; its value names it in messages, ``text`` tells it to people."""

    NOT_FINITE = "not-finite"
    EXHAUSTED = "exhausted"
    LATE = "late"
    LEFT_OUT = "left-out"
    MALFORMED = "malformed"
    NODE_FAILED = "node-failed"
    REFUSED = "refused"
    NO_SUM = "no-sum"
    TOO_FEW = "too-few"
    FORGOTTEN = "forgotten"

    @property
    def text(self) -> str:
        """The reason in plain words."""
        return TEXTS[self]


TEXTS = {
    Missing.NOT_FINITE: "values were not finite",
    Missing.EXHAUSTED: (
        "the privacy budget is exhausted, or was begun under another adjacency or for another kind of noise"
    ),
    Missing.LATE: "no answer in time",
    Missing.LEFT_OUT: "left out of the answer",
    Missing.MALFORMED: "malformed",
    Missing.NODE_FAILED: "node failed",
    Missing.REFUSED: "refused",
    Missing.NO_SUM: "no secure sum",
    Missing.TOO_FEW: "too few answers for the noise",
    Missing.FORGOTTEN: "what the client contributed before is gone from its own folder, so it cannot be subtracted",
}


@dataclass(frozen=True)
class Failure:
    """A reason with the details of one case.

    Attributes
    ----------
    reason : Missing
        The reason.
    detail : str
        Details for people; empty where the reason alone is enough.
    """

    reason: Missing
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason.text}: {self.detail}" if self.detail else self.reason.text
