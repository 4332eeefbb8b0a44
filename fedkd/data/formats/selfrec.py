"""SELFRec's text: a line of a user, an item and a weight."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.records import BLANKS, Layout

TRIPLES = Layout({"user": 0, "item": 1, "rating": 2}, BLANKS, header=False)


class SELFRec(Published):
    """Lines ``user item weight``: a file, or a folder with ``train.txt`` and perhaps ``valid.txt`` and ``test.txt``.

    Weights are up to 10, like ratings; data.source=table reads any others.
    """

    group: ClassVar[str] = "files of other programs"
    summary: ClassVar[str] = "SELFRec: lines 'user item weight' (train.txt, test.txt)"
    homepage: ClassVar[str] = "https://github.com/Coder-Yu/SELFRec"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(
            ("train.txt", "valid.txt", "test.txt"),
            Table(TRIPLES, 3, {"rating": r"10|\d(\.\d+)?"}),
            test="test.txt",
            telling=False,
        ),
    )

    source: Literal["selfrec"] = "selfrec"
