"""Settings of the gate."""

from pydantic import Field, field_validator

from fedkd.gate.requirements import Requirement, requirement
from fedkd.gate.search import dimension
from fedkd.options import Options, Texts

COMPRESSION = (
    "half",
    "int8",
    "pruned:kept=0.5 + int8",
    "int4",
    "pruned:kept=0.5 + int4",
    "low-rank:rank=16 + int8",
)
"""The steps tried on a student that is too large, where nobody says otherwise."""


class GateOptions(Options):
    """Requirements that a student must meet before it is deployed.

    Attributes
    ----------
    requirements : tuple of str
        Such as ``ndcg@10 >= 0.98 of teacher``, ``bytes <= 300000``, ``tail recall not below the public-only student``
        or ``epsilon <= 8``; none by default. Text holds several, separated by semicolons. The student's lists are those
        that people are served, after ``lists.steps``; those of other models are as scored. They are judged on the
        validation part: a run that reports on the test part makes another run for it, in its folder ``validation``.
    confidence : float
        How sure the gate must be: a student that fails a requirement passes it with at most one minus this probability.
    compression : tuple of str
        What may make a student smaller that has too many bytes or takes too long for its requirements: every text holds
        steps of ``fedkd export``, joined by plus signs, such as ``pruned:kept=0.5 + int8``. Each is tried on the
        trained student, and judged as it would be exported; the gate is met with the best of them.
    search : tuple of str
        The settings among which ``python -m simulations.tune`` looks for a student that passes, such as
        ``algorithm.rank in 8, 16, 32`` or ``algorithm.regularisation from 50 to 2000 log``; without any, every setting
        of the protocol, within a factor of five of its value.
    """

    requirements: Texts = ()
    confidence: float = Field(0.95, ge=0.5, lt=1)
    compression: Texts = COMPRESSION
    search: Texts = ()

    @field_validator("requirements")
    @classmethod
    def _readable(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for text in given:
            requirement(text)
        return given

    @field_validator("search")
    @classmethod
    def _searchable(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for text in given:
            dimension(text)
        return given

    @property
    def read(self) -> tuple[Requirement, ...]:
        """The requirements, read."""
        return tuple(map(requirement, self.requirements))
