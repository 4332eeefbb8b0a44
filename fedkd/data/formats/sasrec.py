"""SASRec's text: a line of a user and an item, those of a user in time order."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.records import BLANKS, Layout

PAIRS = Layout({"user": 0, "item": 1}, BLANKS, header=False)


class SASRec(Published):
    """Lines ``user item``; the order of the lines is the order of a history."""

    group: ClassVar[str] = "files of other programs"
    summary: ClassVar[str] = "SASRec: lines 'user item', in time order"
    homepage: ClassVar[str] = "https://github.com/kang205/SASRec"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(
            (),
            Table(Layout({"user": 0, "item": 1}, BLANKS, header=False), 2, {"user": r"-?\d+", "item": r"-?\d+"}),
            telling=False,
        ),
    )

    source: Literal["sasrec"] = "sasrec"
