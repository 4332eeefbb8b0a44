"""Book-Crossing: books rated 1 to 10, and books that were read."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.records import Layout

RATINGS = {"user": "User-ID", "item": "ISBN", "rating": "Book-Rating"}
BOOKS = {"item": "ISBN", "title": "Book-Title", "year": "Year-Of-Publication"}


class BookCrossing(Published):
    """``BX-Book-Ratings.csv`` and ``BX-Books.csv``, or ``Ratings.csv`` and ``Books.csv`` with commas.

    A rating of 0 says that the book was read; data.min-rating=1 keeps the others.
    """

    summary: ClassVar[str] = "Book-Crossing: BX-Book-Ratings.csv, BX-Books.csv"
    licence: ClassVar[str] = "Book-Crossing: free for research, with citation (C.-N. Ziegler)"
    homepage: ClassVar[str] = "http://www2.informatik.uni-freiburg.de/~cziegler/BX/"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(("BX-Book-Ratings*.csv",), Table(Layout(RATINGS, ";", encoding="latin-1", quoting="backslash"))),
        Part(("Ratings.csv",), Table(Layout(RATINGS))),
    )
    items: ClassVar[tuple[Part, ...]] = (
        Part(("BX-Books*.csv",), Table(Layout(BOOKS, ";", encoding="latin-1", quoting="backslash"))),
        Part(("Books.csv",), Table(Layout(BOOKS))),
    )

    source: Literal["book-crossing"] = "book-crossing"
