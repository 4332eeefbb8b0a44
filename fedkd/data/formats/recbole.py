"""RecBole's atomic files, whose headers tell the types of their columns."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from fedkd.data.formats.forms import INSIDE, Form, Head, Part
from fedkd.data.formats.published import Published
from fedkd.data.sources.delimited import read_delimited
from fedkd.data.sources.guess import Guess
from fedkd.data.sources.records import Layout
from fedkd.errors import UserError

NAME = re.compile(r"([^\s:]+):(token|token_seq|float|float_seq)")
TITLES = ("title", "movie_title", "name", "item_name", "product_name", "app_name", "artist_name")
CATEGORIES = ("class", "genre", "genres", "categories", "category", "tags")
YEARS = ("release_year", "year", "release_date", "publication_year")


@dataclass(frozen=True)
class Atomic(Form):
    """A tab-separated table whose header names columns as ``user_id:token``.

    Attributes
    ----------
    needed : mapping of str to str
        Columns, without their types, of roles that must be there.
    wanted : mapping of str to tuple of str
        Columns of roles that may be there; the first that is there counts.
    """

    needed: dict[str, str]
    wanted: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def fits(self, head: Head) -> bool:
        """Say whether the header has types, and the needed columns."""
        return set(self.needed.values()) <= header(head).keys()

    def read(self, path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
        """Read the columns of the roles that are there."""
        names = header(Head(path))
        columns = {role: names[column] for role, column in self.needed.items() if column in names}
        if len(columns) < len(self.needed):
            raise UserError(f"{path} must have columns {', '.join(self.needed.values())}; it has {', '.join(names)}")
        for role, choices in self.wanted.items():
            if (column := next((column for column in choices if column in names), None)) is not None:
                columns[role] = names[column]
        frame = read_delimited(path, Layout(columns, "\t")).frame
        if "categories" in frame:
            named = frame["categories"].astype("string")
            between = r",\s*" if named.str.contains(",").any() else r"\s+"
            frame["categories"] = named.str.replace(between, INSIDE, regex=True)
        return frame, {}


def header(head: Head) -> dict[str, str]:
    """Return the names of the columns, without and with their types; none where the first line is no such header."""
    fields = head.lines[0].split("\t") if head.lines else []
    found = [NAME.fullmatch(name.strip()) for name in fields]
    return {match[1]: match[0] for match in found if match} if all(found) else {}


def _item_columns(path: Path) -> list[str]:
    """Return columns that may be items in a data set that calls them otherwise."""
    files = [path] if path.is_file() else sorted(path.glob("*.inter*"))
    names = header(Head(files[0])) if files else {}
    return [name for name in names if name.endswith("_id") and name != "user_id"]


class RecBole(Published):
    """``NAME.inter``, or its parts ``NAME.train.inter`` and so on, and the items of ``NAME.item``.

    Attributes
    ----------
    user_column, item_column, rating_column, time_column : str
        Columns without their types; where there is no such rating or time, the data have none.
    """

    group: ClassVar[str] = "files of other programs"
    summary: ClassVar[str] = "RecBole: NAME.inter, NAME.item"
    homepage: ClassVar[str] = "https://recbole.io/docs/user_guide/data/atomic_files.html"

    source: Literal["recbole"] = "recbole"
    user_column: str = "user_id"
    item_column: str = "item_id"
    rating_column: str = "rating"
    time_column: str = "timestamp"

    @classmethod
    def guess(cls, path: Path) -> Guess | None:
        """Say whether there are interactions with typed headers, and which columns are users and items."""
        return cls._guessed(path, {}) or next(
            (found for item in _item_columns(path) if (found := cls._guessed(path, {"item_column": item}))), None
        )

    def row_parts(self) -> tuple[Part, ...]:
        """Return the files with interactions, whose columns are options."""
        needed = {"user": self.user_column, "item": self.item_column}
        form = Atomic(needed, {"rating": (self.rating_column,), "time": (self.time_column,)})
        parts = ("*.train.inter", "*.valid.inter", "*.test.inter")
        return Part(parts, form, test="*.test.inter"), Part(("*.inter",), form)

    def item_parts(self) -> tuple[Part, ...]:
        """Return the files with content."""
        wanted = {"title": TITLES, "categories": CATEGORIES, "year": YEARS}
        return (Part(("*.item",), Atomic({"item": self.item_column}, wanted)),)
