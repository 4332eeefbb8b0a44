"""Tables by column names, and LightGCN's text format."""

import difflib
import gzip
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from fedkd.data.cleaning import Raw
from fedkd.data.options import DataOptions
from fedkd.data.years import FIRST, LAST, first_years, whole_years
from fedkd.errors import UserError

SEPARATORS = ",\t;|"
LARGEST_SECOND = 1e11
"""Larger times (the year 5138 in seconds) are milliseconds."""


def read_table(options: DataOptions) -> Raw:
    """Read a CSV, TSV or Parquet file (gzip welcome) into columns user, item and, where named, time, rating, group.

    Times are numbers (seconds, or milliseconds where most exceed 1e11) or ISO 8601 dates, in UTC where they name no
    zone. Ids that are all whole numbers count as numbers, so that ``7`` and ``7.0`` are one user; others are text. An
    item's release year is the first that a row tells; what is no year counts as unknown.

    Raises
    ------
    UserError
        The file or a column is missing, the separator does not split the lines, or a column of years holds none.
    """
    path = required_path(options)
    table, dropped = _read(path, options.separator)
    wanted = {
        "user": options.user_column,
        "item": options.item_column,
        "time": options.time_column,
        "rating": options.rating_column,
        "group": options.group_column,
    }
    rows = pd.DataFrame({role: _column(table, name, role, path) for role, name in wanted.items() if name})
    for role in ("user", "item"):
        rows[role] = _ids(rows[role])
    if "time" in rows:
        rows["time"] = _seconds(rows["time"])
    if not options.year_column:
        return Raw(rows, dropped=dropped)
    told = _column(table, options.year_column, "year", path)
    return Raw(rows, {"years": _years(rows["item"], told, dropped)}, dropped)


def required_path(options: DataOptions) -> Path:
    """Return the path of the data, which must exist."""
    if options.path is None:
        raise UserError(f"data.source {options.source} needs data.path: the file or folder to read")
    if not options.path.exists():
        raise UserError(f"data.path {options.path} does not exist; give the path of the {options.source} data")
    return options.path


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


def read_lightgcn(options: DataOptions) -> Raw:
    """Read lines of ``user item item ...``: a file, or a folder with ``train.txt`` and perhaps ``test.txt``.

    The rows of ``test.txt`` are the official test part; a pair in both files stays in training.

    Raises
    ------
    UserError
        A file is missing, or a line holds something else than whole numbers.
    """
    path = required_path(options)
    if path.is_file():
        return Raw(_read_lines(path))
    train = _read_lines(path / "train.txt")
    if not (path / "test.txt").exists():
        return Raw(train)
    test = _read_lines(path / "test.txt")
    return Raw(pd.concat([train.assign(test=False), test.assign(test=True)], ignore_index=True))


def _read_lines(path: Path) -> pd.DataFrame:
    try:
        text = path.read_text(encoding="utf-8")
        numbers = np.array(text.split(), np.int64)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; data.path must hold train.txt") from None
    except ValueError as error:
        raise UserError(f"{path} must hold lines of whole numbers, 'user item item ...': {error}") from None
    if not len(numbers):
        raise UserError(f"{path} is empty; it must hold lines of whole numbers, 'user item item ...'")
    lengths = np.array([len(line.split()) for line in text.splitlines() if line.strip()], np.int64)
    begins = np.cumsum(lengths) - lengths
    is_item = np.ones(len(numbers), bool)
    is_item[begins] = False
    return pd.DataFrame({"user": np.repeat(numbers[begins], lengths - 1), "item": numbers[is_item]})
