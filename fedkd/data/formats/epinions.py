"""Epinions' ratings, as Trustlet publishes them."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.records import BLANKS, Layout

RATINGS = Layout({"user": 0, "item": 1, "rating": 2}, BLANKS, header=False)
VALUES = {"user": r"\d+", "item": r"\d+", "rating": "[1-5]"}


class Epinions(Published):
    """``ratings_data.txt``: user, item and rating between blanks."""

    summary: ClassVar[str] = "Epinions: ratings_data.txt"
    licence: ClassVar[str] = "Epinions: no licence is stated; for research (Trustlet)"
    homepage: ClassVar[str] = "http://www.trustlet.org/downloaded_epinions.html"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(
            ("ratings_data*.txt",),
            Table(RATINGS, 3, {"user": r"\d+", "item": r"\d+", "rating": "[1-5]"}),
            telling=False,
        ),
    )

    source: Literal["epinions"] = "epinions"
