"""Histories without users: the items of one user a line."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.number_lines import Histories
from fedkd.data.formats.published import Published


class HistoryLines(Published):
    """Lines ``item item ...``, oldest first; the number of a line stands for its user."""

    group: ClassVar[str] = "files of other programs"
    summary: ClassVar[str] = "gSASRec: lines 'item item ...', one user a line"
    homepage: ClassVar[str] = "https://github.com/asash/gSASRec-pytorch"
    rows: ClassVar[tuple[Part, ...]] = (Part((), Histories(), telling=False),)

    source: Literal["history-lines"] = "history-lines"
