"""Settings of lists."""

from pydantic import field_validator

from fedkd.lists.base import ListStep
from fedkd.lists.table import LIST_STEPS
from fedkd.options import Options, Texts


class ListOptions(Options):
    """Steps between the student's scores and its lists, wherever it recommends.

    Attributes
    ----------
    steps : tuple of str
        Such as ``cold-users:strength=3``, ``cold-items:weight=1`` or ``diverse:weight=0.2``, one after the
        other; none by default. Text holds several, separated by semicolons. They go with the student into its
        export, and the run measures what they change. A class of one's own is named ``package.module:Class``.
    """

    steps: Texts = ()

    @field_validator("steps")
    @classmethod
    def _readable(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for text in given:
            LIST_STEPS.made(text)
        return given

    @property
    def read(self) -> tuple[ListStep, ...]:
        """The steps, read."""
        return tuple(map(LIST_STEPS.made, self.steps))
