"""MovieLens 10M."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.movielens import LICENCE
from fedkd.data.sources.records import Layout

RATINGS = Layout({"user": 0, "item": 1, "rating": 2, "time": 3}, "::", header=False)
MOVIES = Layout({"item": 0, "title": 1, "categories": 2}, "::", header=False)
VALUES = {"user": r"\d+", "item": r"\d+", "rating": r"[0-5](\.[05])?", "time": r"\d+"}


class MovieLens10M(Published):
    """``ratings.dat`` and ``movies.dat``, with double colons."""

    summary: ClassVar[str] = "MovieLens 10M: ratings.dat, movies.dat"
    licence: ClassVar[str] = LICENCE
    homepage: ClassVar[str] = "https://grouplens.org/datasets/movielens/10m/"
    dated_titles: ClassVar[bool] = True
    rows: ClassVar[tuple[Part, ...]] = (Part(("ratings.dat",), Table(RATINGS, 4, VALUES), time="s"),)
    items: ClassVar[tuple[Part, ...]] = (Part(("movies.dat",), Table(MOVIES, 3)),)

    source: Literal["movielens-10m"] = "movielens-10m"
