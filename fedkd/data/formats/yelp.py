"""Yelp's open data set: reviews of businesses."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.object_form import Objects
from fedkd.data.formats.published import Published


class Yelp(Published):
    """``yelp_academic_dataset_review.json``, and the names and categories of ``..._business.json``."""

    summary: ClassVar[str] = "Yelp: *review*.json, *business*.json"
    licence: ClassVar[str] = "Yelp: for academic use under Yelp's dataset terms, no redistribution"
    homepage: ClassVar[str] = "https://business.yelp.com/data/resources/open-dataset/"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(
            ("*review*.json",),
            Objects({"user": "user_id", "item": "business_id", "rating": "stars", "time": "date"}),
            time="iso",
        ),
    )
    items: ClassVar[tuple[Part, ...]] = (
        Part(("*business*.json",), Objects({"item": "business_id", "title": "name", "categories": "categories"})),
    )

    source: Literal["yelp"] = "yelp"
