"""Goodreads' shelves, as the UCSD Book Graph publishes them."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.object_form import Objects
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.records import Layout

COLUMNS = {"user": "user_id", "item": "book_id", "rating": "rating"}


class Goodreads(Published):
    """``goodreads_interactions*.json`` with books and genres, or ``goodreads_interactions.csv`` with ids of its own."""

    summary: ClassVar[str] = "Goodreads: goodreads_interactions*.json or .csv"
    licence: ClassVar[str] = "Goodreads: for academic use only, no redistribution (UCSD Book Graph)"
    homepage: ClassVar[str] = "https://cseweb.ucsd.edu/~jmcauley/datasets/goodreads.html"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(
            ("goodreads_interactions*.json",),
            Objects({**COLUMNS, "time": "date_added"}),
            time="%a %b %d %H:%M:%S %z %Y",
        ),
        Part(("goodreads_reviews*.json",), Objects({**COLUMNS, "time": "date_added"}), time="%a %b %d %H:%M:%S %z %Y"),
        Part(("goodreads_interactions*.csv",), Table(Layout(COLUMNS)), alone=True),
    )
    items: ClassVar[tuple[Part, ...]] = (
        Part(("goodreads_books*.json",), Objects({"item": "book_id", "title": "title", "year": "publication_year"})),
        Part(("goodreads_book_genres*.json",), Objects({"item": "book_id", "categories": "genres"})),
    )

    source: Literal["goodreads"] = "goodreads"
