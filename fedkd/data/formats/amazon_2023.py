"""Amazon's reviews of 1996 to 2023."""

from typing import ClassVar, Literal

from fedkd.data.formats.amazon import LICENCE
from fedkd.data.formats.forms import Part
from fedkd.data.formats.object_form import Objects
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.records import Layout

COLUMNS = {"user": "user_id", "item": "parent_asin", "rating": "rating", "time": "timestamp"}


class Amazon2023(Published):
    """``*.jsonl`` with reviews, or a CSV with a header, whole or as train, valid and test; and ``meta_*.jsonl``."""

    summary: ClassVar[str] = "Amazon reviews of 2023: *.jsonl or *.csv"
    licence: ClassVar[str] = LICENCE
    homepage: ClassVar[str] = "https://amazon-reviews-2023.github.io/"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(("*.train.csv", "*.valid.csv", "*.test.csv"), Table(Layout(COLUMNS)), test="*.test.csv", time="ms"),
        Part(("*.csv",), Table(Layout(COLUMNS)), time="ms"),
        Part(("*.jsonl",), Objects(COLUMNS), time="ms"),
    )
    items: ClassVar[tuple[Part, ...]] = (
        Part(("meta_*.jsonl",), Objects({"item": "parent_asin", "title": "title", "categories": "categories"})),
    )

    source: Literal["amazon-2023"] = "amazon-2023"
