"""Tables by column names, and LightGCN's text format."""

import csv
import difflib
import gzip
from pathlib import Path

import numpy as np
import pandas as pd

from fedkd.data.options import DataOptions
from fedkd.errors import UserError


def read_table(options: DataOptions) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet file (gzip welcome) into columns user, item and, where named, time, rating, group.

    Raises
    ------
    UserError
        The file or a column is missing, or the separator does not split the lines.
    """
    path = required_path(options)
    table = _read_parquet(path) if ".parquet" in path.suffixes else _read_text(path, options.separator)
    wanted = {
        "user": options.user_column,
        "item": options.item_column,
        "time": options.time_column,
        "rating": options.rating_column,
        "group": options.group_column,
    }
    columns = {role: _column(table, name, f"data.{role}-column", path) for role, name in wanted.items() if name}
    rows = pd.DataFrame(columns)
    for role in ("user", "item"):
        rows[role] = _ids(rows[role])
    if "time" in rows:
        rows["time"] = _seconds(rows["time"])
    if "rating" in rows:
        rows["rating"] = pd.to_numeric(rows["rating"], errors="coerce")
    return rows


def read_lightgcn(options: DataOptions) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Read lines of ``user item item ...``: a file, or a folder with ``train.txt`` and perhaps ``test.txt``.

    Returns
    -------
    tuple of DataFrame
        All rows, and the rows of the official test part where there is one.
    """
    path = required_path(options)
    if path.is_file():
        return _read_lines(path), None
    train = _read_lines(path / "train.txt")
    if not (path / "test.txt").exists():
        return train, None
    test = _read_lines(path / "test.txt")
    return pd.concat([train, test], ignore_index=True), test


def required_path(options: DataOptions) -> Path:
    """Return the path of the data, which must exist."""
    if options.path is None:
        raise UserError(f"data.source {options.source} needs data.path: the file or folder to read")
    if not options.path.exists():
        raise UserError(f"data.path {options.path} does not exist; give the path of the {options.source} data")
    return options.path


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as Parquet: {error}; is it a CSV file by another name?") from None


def _read_text(path: Path, separator: str) -> pd.DataFrame:
    try:
        chosen = separator or _sniff(path)
        return pd.read_csv(path, sep=chosen, dtype=object, keep_default_na=True, low_memory=False)
    except (OSError, EOFError, ValueError) as error:  # pandas' own errors of parsing are ValueErrors
        raise UserError(f"{path} cannot be read as a table: {error}; check data.separator") from None


def _sniff(path: Path) -> str:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open("rt") as file:
        head = file.readline()
    try:
        return csv.Sniffer().sniff(head, delimiters=",\t;|").delimiter
    except csv.Error:
        raise ValueError(f"no separator is seen in its first line {head[:80]!r}") from None


def _column(table: pd.DataFrame, name: str, key: str, path: Path) -> pd.Series:
    if name in table:
        return table[name]
    columns = list(map(str, table.columns))
    close = difflib.get_close_matches(name, columns, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    if len(columns) == 1:
        hint += "; only one column was found, so data.separator may be wrong"
    raise UserError(f"{path} has no column {name!r} ({key}); its columns are {', '.join(columns)}{hint}")


def _ids(column: pd.Series) -> pd.Series:
    """Return ids as numbers where all of them are whole numbers, else as text."""
    if pd.api.types.is_signed_integer_dtype(column):
        return column.astype("Int64")
    text = column.astype("string").str.strip()
    text = text.mask(text == "")
    if text.str.fullmatch(r"[+-]?\d{1,18}(\.0+)?").fillna(value=True).all():
        return text.str.replace(r"\.0+$", "", regex=True).astype("Int64")  # never by way of floats: long ids stay apart
    return text


def _seconds(column: pd.Series) -> pd.Series:
    if not pd.api.types.is_datetime64_any_dtype(column):
        numbers = pd.to_numeric(column, errors="coerce")
        if numbers.notna().any():
            return numbers.where(numbers.abs() < np.inf)
    dates = pd.to_datetime(column, errors="coerce", utc=True, format="mixed")
    return (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)


def _read_lines(path: Path) -> pd.DataFrame:
    try:
        lines = [
            np.array(line.split(), np.int64) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; data.path must hold train.txt") from None
    except ValueError:
        raise UserError(f"{path} must hold lines of whole numbers, 'user item item ...'") from None
    if not lines:
        raise UserError(f"{path} is empty; it must hold lines of whole numbers, 'user item item ...'")
    users = np.repeat([line[0] for line in lines], [len(line) - 1 for line in lines])
    items = np.concatenate([line[1:] for line in lines])
    return pd.DataFrame({"user": users, "item": items})
