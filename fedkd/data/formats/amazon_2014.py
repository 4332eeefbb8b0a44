"""Amazon's reviews of 1996 to 2014."""

from typing import ClassVar, Literal

from fedkd.data.formats.amazon import LICENCE, REVIEW, ratings
from fedkd.data.formats.forms import Part
from fedkd.data.formats.object_form import Objects
from fedkd.data.formats.published import Published


class Amazon2014(Published):
    """``ratings_*.csv`` (user, item, rating, time; no header) or ``reviews_*.json``, and ``meta_*.json``."""

    summary: ClassVar[str] = "Amazon reviews of 2014: ratings_*.csv, reviews_*.json"
    licence: ClassVar[str] = LICENCE
    homepage: ClassVar[str] = "https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(("ratings_*.csv",), ratings(0, 1), time="s"),
        Part(("reviews_*.json",), REVIEW, time="s"),
    )
    items: ClassVar[tuple[Part, ...]] = (
        Part(("meta_*.json",), Objects({"item": "asin", "title": "title", "categories": "categories"})),
    )

    source: Literal["amazon-2014"] = "amazon-2014"
