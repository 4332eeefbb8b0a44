"""Guesses of an unknown table's columns of users, items, ratings and times, by their names or by their values."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from fedkd.data.sources.compressed import opened
from fedkd.data.sources.detection import HEAD, Stated, layout_of
from fedkd.data.sources.guess import Guess, Sure, likely_columns
from fedkd.data.sources.header import surely_names
from fedkd.data.sources.parquet import is_parquet
from fedkd.data.sources.records import Layout, Records
from fedkd.errors import UserError

TIME = re.compile(r"\d{9,19}(\.\d+)?|\d{4}-\d\d-\d\d([T ].*)?|\w{3} \w{3} \d\d .*|\d{1,2}/\d{1,2}/\d{4}.*")
RATING = re.compile(r"10|\d(\.\d+)?")


def guess_table(source: str, path: Path) -> Guess | None:
    """Return how a file may be read as a table; None where it is none, or its columns cannot be told.

    Raises
    ------
    UserError
        The file cannot be read as a table.
    """
    if not path.is_file():
        return None
    sure, settings = _parquet(path) if is_parquet(path) else _text(path)
    return Guess(source, sure, path, (path,), settings) if settings else None


def _parquet(path: Path) -> tuple[Sure, dict[str, Any]]:
    try:
        names = parquet.ParquetFile(path).schema_arrow.names
    except (pa.ArrowException, OSError):
        raise UserError(f"{path} is damaged") from None
    found = likely_columns(names, "column")
    return Sure.PROBABLY, found


def _text(path: Path) -> tuple[Sure, dict[str, Any]]:
    encoding = _encoding(path)
    try:
        layout, _ = layout_of(path, Stated({}, encoding=encoding))
    except UserError:  # the first line looks like data, or nothing splits it
        layout, _ = layout_of(path, Stated({}, encoding=encoding, header=False))
    rows = _rows(path, layout)
    said = {"encoding": encoding} if encoding else {}
    if not layout.header:
        separator = layout.separator.replace("\t", "\\t")  # what a terminal shows as it is
        return Sure.POSSIBLY, {"header": False, "separator": separator, **_positions(rows), **said}
    found = likely_columns(rows[0], "column")
    if not found and {*rows[0][:2]} <= {*surely_names(rows[0], rows[1:])} and len(rows[0]) > 1:
        return Sure.POSSIBLY, {"user_column": rows[0][0], "item_column": rows[0][1], **said}
    return Sure.PROBABLY, {**found, **said} if found else {}


def _encoding(path: Path) -> str:
    """Return latin-1 for a beginning that is not UTF-8 and has no mark of another encoding."""
    with opened(path) as file:
        head = file.read(HEAD)
    try:
        head[: head.rfind(b"\n") + 1].decode()
    except UnicodeDecodeError:
        return "" if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in head else "latin-1"
    return ""


def _rows(path: Path, layout: Layout) -> list[list[str]]:
    with opened(path) as file:
        text = file.read(HEAD).decode(layout.encoding, errors="replace").lstrip("\ufeff")
    records = Records(iter(text.splitlines(keepends=True)[:100]), layout, path)
    return [*iter(records.next, None)]


def _positions(rows: list[list[str]]) -> dict[str, Any]:
    """Return which columns of a table without names may be what; the first two that are nothing else are ids."""
    columns = [*zip(*rows, strict=False)]
    times = [at for at, column in enumerate(columns) if at > 0 and _all(TIME, column)]
    ratings = [at for at, column in enumerate(columns) if at > 1 and _all(RATING, column)]
    others = [at for at in range(len(columns)) if at not in (*times, *ratings)]
    user, item = others[:2] if len(others) > 1 else (0, 1)
    chosen = {"user": user, "item": item, "rating": next(iter(ratings), item), "time": next(iter(times), item)}
    return {f"{role}_column": str(at) for role, at in chosen.items() if role == "item" or at != item}


def _all(form: re.Pattern[str], column: Sequence[str]) -> bool:
    return all(form.fullmatch(cell.strip()) for cell in column)
