"""A person's own table: a CSV, TSV or Parquet file."""

import difflib
import gzip
import re
import warnings
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from fedkd.data.cleaning import Raw
from fedkd.data.sources.base import Source
from fedkd.data.years import FIRST, LAST, first_years, whole_years
from fedkd.errors import UserError

SEPARATORS = ",\t;|"
LARGEST_SECOND = 1e11
"""Larger times (the year 5138 in seconds) are milliseconds."""


class TableFile(Source):
    """A CSV, TSV or Parquet file (gzip welcome), by the names of its columns.

    Times are numbers (seconds, or milliseconds where most exceed 1e11) or ISO 8601 dates, in UTC where they name no
    zone. Ids that are all whole numbers count as numbers, so that ``7`` and ``7.0`` are one user; others are text. An
    item's release year is the first that a row tells; what is no year counts as unknown.

    Attributes
    ----------
    user_column, item_column, time_column, rating_column, group_column : str
        Column names; an empty string means that there is none.
    year_column : str
        Column with the year in which the row's item was released, a public fact that is the same in every row of the
        item; an empty string means that there is none.
    separator : str
        Separator of a text table; an empty string means that it is detected.
    """

    summary: ClassVar[str] = "a CSV, TSV or Parquet file, by column names"

    source: Literal["table"] = "table"
    user_column: str = "user"
    item_column: str = "item"
    time_column: str = ""
    rating_column: str = ""
    group_column: str = ""
    year_column: str = ""
    separator: str = ""

    def read(self) -> Raw:
        """Read the columns that have a role.

        Raises
        ------
        UserError
            The file or a column is missing, the separator does not split the lines, or a column of years holds none.
        """
        path = self.located()
        table, dropped = _read(path, self.separator)
        rows = self._rows(table, path)
        if not self.year_column:
            return Raw(rows, dropped=dropped)
        told = _column(table, self.year_column, "year", path)
        return Raw(rows, {"years": _years(rows["item"], told, dropped)}, dropped)

    def _rows(self, table: pd.DataFrame, path: Path) -> pd.DataFrame:
        roles = ("user", "item", "time", "rating", "group")
        names = {role: getattr(self, f"{role}_column") for role in roles}
        rows = pd.DataFrame({role: _column(table, name, role, path) for role, name in names.items() if name})
        for role in ("user", "item"):
            rows[role] = _ids(rows[role])
        if "time" in rows:
            rows["time"] = _seconds(rows["time"])
        return rows


def _read(path: Path, separator: str) -> tuple[pd.DataFrame, dict[str, int]]:
    if path.is_dir():
        raise UserError(f"data.path {path} is a folder; data.source table needs one CSV, TSV or Parquet file")
    try:
        if {".parquet", ".pq"} & set(path.suffixes):
            return _read_parquet(path), {}
        return _read_text(path, separator.replace("\\t", "\t") or _separator(path))
    except (ValueError, OSError, EOFError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} cannot be read as a table: {error}; check data.path and data.separator") from None


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except ValueError as error:
        raise UserError(f"{path} cannot be read as Parquet: {error}; is it a CSV file by another name?") from None


def _read_text(path: Path, separator: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read all columns as text; lines with too many fields are left out and counted."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if len(separator) == 1:
            table = pd.read_csv(path, sep=separator, dtype=str, on_bad_lines="warn", index_col=False)
        else:
            table = pd.read_csv(
                path, sep=re.escape(separator), dtype=str, on_bad_lines="warn", index_col=False, engine="python"
            )
    bad = sum(len(re.findall(r"(?i)skipping line", str(warning.message))) for warning in caught)
    return table, {"line with too many fields": bad} if bad else {}


def _separator(path: Path) -> str:
    """Return the separator that occurs most often in the first line."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        head = file.readline()
    if not head.strip():
        raise UserError(f"{path} is empty, or begins with an empty line; its first line must name the columns")
    if not any(separator in head for separator in SEPARATORS):
        raise UserError(
            f"{path}: only one column was found in its first line {head[:80].rstrip()!r}; set data.separator "
            "(comma, tab, semicolon and bar are detected)"
        )
    return max(SEPARATORS, key=head.count)


def _column(table: pd.DataFrame, name: str, role: str, path: Path) -> pd.Series:
    if name in table:
        return table[name]
    columns = [str(column) for column in table.columns]
    close = difflib.get_close_matches(name.casefold(), [column.casefold() for column in columns], 1)
    hint = next((f"; did you mean {column!r}?" for column in columns if [column.casefold()] == close), "")
    if len(columns) == 1:
        hint = "; only one column was found, so data.separator is wrong"
    raise UserError(
        f"{path} has no column {name!r} (data.{role}-column); its columns are {', '.join(map(repr, columns))}{hint}"
    )


def _ids(column: pd.Series) -> pd.Series:
    """Return ids as numbers where all of them are whole numbers that nothing is lost of, else as text."""
    if pd.api.types.is_signed_integer_dtype(column):
        return column.astype("Int64")
    text = column.astype("string").str.strip()
    text = text.mask(text == "")
    plain = text.str.replace(r"\.0+$", "", regex=True)
    # Never by way of floats, so that long ids stay apart; '007' and '7' are two ids; 19 digits may not fit 64 bits.
    whole = plain.str.fullmatch(r"-?(0|[1-9]\d{0,17})").fillna(value=True)
    return plain.astype("Int64") if whole.all() else text


def _seconds(column: pd.Series) -> pd.Series:
    """Return seconds since 1970, NaN where a time cannot be read."""
    numbers = pd.Series(np.nan, column.index)
    if not pd.api.types.is_datetime64_any_dtype(column):
        numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    if 2 * numbers.notna().sum() > column.notna().sum():
        return numbers / 1000 if numbers.abs().median() > LARGEST_SECOND else numbers
    dates = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
    return (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)


def _years(items: pd.Series, told: pd.Series, dropped: dict[str, int]) -> "pd.Series[int]":
    """Return every item's year; what cannot be read, and items of several years, are counted."""
    years = whole_years(told)
    if not years.any():
        raise UserError(
            f"column {told.name!r} (data.year-column) holds no year; allowed are whole numbers from {FIRST} to {LAST}, "
            'and without release years data.year-column is ""'
        )
    found, several = first_years(items, years)
    empty = told.isna() | (told.astype("string").str.strip() == "")
    unread = int((~empty & (years == 0)).sum())
    counts = {
        "release year cannot be read: it counts as unknown": unread,
        "item of several release years: the first is kept": several,
    }
    dropped.update({reason: count for reason, count in counts.items() if count})
    return found
