"""Amazon's reviews of 1996 to 2018."""

from typing import ClassVar, Literal

from fedkd.data.formats.amazon import LICENCE, REVIEW, ratings
from fedkd.data.formats.forms import Part
from fedkd.data.formats.object_form import Objects
from fedkd.data.formats.published import Published


class Amazon2018(Published):
    """``*.csv`` (item, user, rating, time; no header) or ``*.json`` with reviews, and ``meta_*.json``."""

    summary: ClassVar[str] = "Amazon reviews of 2018: *.csv (item first) or *.json"
    licence: ClassVar[str] = LICENCE
    homepage: ClassVar[str] = "https://nijianmo.github.io/amazon/"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(("*.csv",), ratings(1, 0), time="s"),
        Part(("*.json",), REVIEW, time="s"),
    )
    items: ClassVar[tuple[Part, ...]] = (
        Part(("meta_*.json",), Objects({"item": "asin", "title": "title", "categories": "category"})),
    )

    source: Literal["amazon-2018"] = "amazon-2018"
