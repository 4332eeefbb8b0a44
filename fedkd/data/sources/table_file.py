"""A person's own table: a CSV, TSV or Parquet file."""

import json
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd
from pydantic import field_validator

from fedkd.data.cleaning import Raw
from fedkd.data.sources.base import Source
from fedkd.data.sources.delimited import read_delimited
from fedkd.data.sources.detection import Stated, layout_of
from fedkd.data.sources.guess import Guess
from fedkd.data.sources.header import is_number
from fedkd.data.sources.parquet import is_parquet, read_parquet
from fedkd.data.sources.records import Quoting
from fedkd.data.sources.rows import rows_of
from fedkd.data.sources.table_guess import guess_table
from fedkd.data.years import FIRST, LAST, first_years, whole_years
from fedkd.errors import UserError

ROLES = ("user", "item", "time", "rating", "group", "profile", "year")


class TableFile(Source):
    """A CSV, TSV or Parquet file, by its columns; gzip, bz2, xz, zstd and zip are unpacked.

    What is not stated is detected and said, and asked for where two readings are possible. Every line is a row or
    counted; a line that is no row is refused by its number. Only an empty field is missing: ``NA`` and ``null`` are
    ids. Ids that are all whole numbers count as numbers, so that ``7`` and ``7.0`` are one user; others are text. Times
    are numbers (seconds, milli-, micro- or nanoseconds by their size), ISO 8601 or another usual text, in UTC where
    they name no zone. An item's release year is the first that a row tells; what is no year counts as unknown.

    Attributes
    ----------
    user_column, item_column, time_column, rating_column, group_column : str
        Column names, or positions from 0 where ``header`` is false; an empty string means that there is none.
    profile_column : str
        Column with the name of the profile of the user's device, one of ``clients.profiles``; an empty string means
        that there is none.
    year_column : str
        Column with the year in which the row's item was released, a public fact that is the same in every row of the
        item; an empty string means that there is none.
    header : bool, optional
        Whether the first line names the columns; looked at where it is not stated.
    separator : str
        Separator of a text table, such as ``;`` or ``::``; one blank stands for any run of blanks. Detected if empty.
    quoting : str
        How fields of a text table are quoted: ``double`` (``""`` for a mark inside a field), ``backslash``, or ``none``
        (a quotation mark is text). Empty: none for tabs, blanks and separators of several characters, else double.
    encoding : str
        Encoding of a text table, such as ``latin-1``; UTF-8 if empty, or what a mark at the beginning says.
    time_format : str
        ``s``, ``ms``, ``us`` or ``ns`` (counts since 1970), ``iso``, or a format such as ``%d.%m.%Y %H:%M``. Detected
        if empty.
    """

    summary: ClassVar[str] = "a CSV, TSV or Parquet file, by its columns"

    source: Literal["table"] = "table"
    user_column: str = "user"
    item_column: str = "item"
    time_column: str = ""
    rating_column: str = ""
    group_column: str = ""
    profile_column: str = ""
    year_column: str = ""
    header: bool | None = None
    separator: str = ""
    quoting: Quoting = ""
    encoding: str = ""
    time_format: str = ""

    @field_validator(*(f"{role}_column" for role in ROLES), mode="before")
    @classmethod
    def _name(cls, value: Any) -> Any:
        """Take what is no text in TOML for the name, or the position, that it is."""
        return json.dumps(value) if isinstance(value, (bool, int, float)) else value

    @field_validator("header", mode="before")
    @classmethod
    def _not_stated(cls, value: Any) -> Any:
        return None if value == "" else value

    @classmethod
    def guess(cls, path: Path) -> Guess | None:
        """Say which columns of a table may be users and items, by their names or by their values."""
        return guess_table(cls.label(), path)

    def read(self) -> Raw:
        """Read the columns that have a role.

        Raises
        ------
        UserError
            The file or a column is missing, a line is no row, two readings are possible, or a column of years holds
            none.
        """
        path = self.located()
        if path.is_dir():
            raise UserError(f"data.path {path} is a folder; data.source table needs one CSV, TSV or Parquet file")
        named = {role: getattr(self, f"{role}_column") for role in ROLES}
        columns = {role: name for role, name in named.items() if name}
        for role in ("user", "item"):
            if role not in columns:
                raise UserError(f"data.{role}-column is empty; a table needs a column of {role}s")
        if columns["user"] == columns["item"]:
            raise UserError(f"data.user-column and data.item-column are both {columns['user']!r}; name two columns")
        frame, how = (self._parquet if is_parquet(path) else self._text)(path, columns)
        return self._raw(frame, how)

    def _parquet(self, path: Path, columns: dict[str, str]) -> tuple[pd.DataFrame, str]:
        if self.header is False:
            raise UserError("data.header=false is for text tables; Parquet always names its columns, so leave it out")
        return read_parquet(path, columns), "Parquet"

    def _text(self, path: Path, columns: dict[str, str]) -> tuple[pd.DataFrame, str]:
        layout, how = layout_of(path, Stated(columns, self._separator, self.encoding, self.quoting, self.header))
        found = read_delimited(path, layout)
        if self.header is None:
            _check_names(path, found.frame, columns)
        counts = {"blank lines": found.blank, "rows with empty surplus fields": found.surplus}
        return found.frame, ", ".join((how, *(f"{count:,} {what}" for what, count in counts.items() if count)))

    @property
    def _separator(self) -> str:
        return self.separator.replace("\\t", "\t")

    def _raw(self, frame: pd.DataFrame, how: str) -> Raw:
        told, dropped = frame.pop("year") if self.year_column else None, dict[str, int]()
        rows, said = rows_of(frame, self.time_format)
        content = {} if told is None else {"years": _years(rows["item"], told, dropped)}
        return Raw(rows, content, dropped, ", ".join((how, *said)))


def _check_names(path: Path, frame: pd.DataFrame, columns: dict[str, str]) -> None:
    """Refuse a first line whose names are values, too: it is data, or another header stands further down."""
    for role in ("user", "item"):
        if not is_number(columns[role]) and columns[role] in frame[role].cat.categories:
            raise UserError(
                f"{path}: the name in data.{role}-column is a value in this column too, so the first line may be data, "
                "or another header may stand among the rows; set data.header to false or true, or remove that header"
            )


def _years(items: pd.Series, told: pd.Series, dropped: dict[str, int]) -> "pd.Series[int]":
    """Return every item's year; what cannot be read, and items of several years, are counted."""
    years = whole_years(told)
    if not years.any():
        raise UserError(
            f"data.year-column holds no year; allowed are whole numbers from {FIRST} to {LAST}, and without release "
            'years data.year-column is ""'
        )
    known = items.notna()
    found, several = first_years(items.cat.codes[known], years[known])
    found.index = items.cat.categories[found.index]
    empty = told.isna() | (told.astype("string").str.strip() == "")
    unread = int((~empty & (years == 0)).sum())
    counts = {
        "release year cannot be read: it counts as unknown": unread,
        "item of several release years: the first is kept": several,
    }
    dropped.update({reason: count for reason, count in counts.items() if count})
    return found
