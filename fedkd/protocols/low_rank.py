"""The common part of protocols whose student is the low-rank distillate of a teacher in closed form."""

from typing import Annotated, ClassVar

from pydantic import Field

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.models.base import Recommender
from fedkd.models.linear import LowRank
from fedkd.options import Searched
from fedkd.protocols.base import GlobalStudent, Protocol, State

CLOSED_FORM = {"regularisation": (1.0, 0.125, 0.25, 0.5, 2.0, 4.0), "rank": (1.0, 0.25, 0.5)}
"""Settings by which a student in closed form is tuned, in protocols with such a ridge."""


class LowRankStudent(GlobalStudent):
    """A protocol to which every client contributes once, and whose state holds a student of low rank.

    Attributes
    ----------
    rank : int
        Width of the student.
    """

    learns_from_public: ClassVar[bool] = True
    rank: Annotated[int, Searched(needs="closed_form", most=lambda _, data: data.items - 1)] = Field(default=32, ge=1)

    @property
    def closed_form(self) -> bool:
        """Whether the student is written down, not trained."""
        return True

    def check_rank(self, items: int) -> None:
        """Refuse a rank that is no less than the number of items, with a ``UserError``."""
        if self.rank >= items:
            raise UserError(f"algorithm.rank is {self.rank}; it must be less than the {items} items of the catalogue")

    def student(self, state: State) -> Recommender | None:
        """Return the teacher's distillate of low rank."""
        if "student.encoder.weight" not in state.arrays:
            return None
        return LowRank.from_factors(state.arrays["student.encoder.weight"], state.arrays["student.decoder.weight"])

    def blank_student(self, catalogue: Catalogue) -> Recommender:
        """Return a student of the right shape."""
        return LowRank(catalogue, self.rank)

    def releases(self, num_rounds: int) -> int:
        """Return 1: every client contributes once."""
        del num_rounds
        return 1


def has_closed_form(protocol: Protocol) -> bool:
    """Return whether the student of a protocol is written down, not trained."""
    return isinstance(protocol, LowRankStudent) and protocol.closed_form
