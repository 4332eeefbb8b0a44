"""MovieLens 20M, 25M, 32M, latest and latest-small, which are CSV files with a header."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.movielens import LICENCE
from fedkd.data.sources.records import Layout

RATINGS = Layout({"user": "userId", "item": "movieId", "rating": "rating", "time": "timestamp"})
MOVIES = Layout({"item": "movieId", "title": "title", "categories": "genres"})


class MovieLensCSV(Published):
    """``ratings.csv`` and ``movies.csv``."""

    summary: ClassVar[str] = "MovieLens 20M, 25M, 32M, latest: ratings.csv, movies.csv"
    licence: ClassVar[str] = LICENCE
    homepage: ClassVar[str] = "https://grouplens.org/datasets/movielens/"
    dated_titles: ClassVar[bool] = True
    rows: ClassVar[tuple[Part, ...]] = (Part(("ratings.csv",), Table(RATINGS), time="s"),)
    items: ClassVar[tuple[Part, ...]] = (Part(("movies.csv",), Table(MOVIES)),)

    source: Literal["movielens-csv"] = "movielens-csv"
