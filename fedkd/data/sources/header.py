"""The first line of a table: whether it names the columns or is a row of data, which may be shown to nobody."""

import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from fedkd.errors import UserError

WORD = re.compile(r"[^\W\d][\w .:/()#-]{0,40}")
"""The form of a column's name."""
USUAL = re.compile(
    r"(?i)(the )?(user|item|movie|film|product|artist|track|song|book|game|business|news|article|session|rating|score"
    r"|stars|time|timestamp|date|title|genres?|year|shop|store|count|plays|id)s?([ _.-]?(id|name|time|at))?"
)
"""Usual names of columns, which are nobody's data."""
NO_HEADER = (
    "If it names the columns set data.{role}-column to one of them; if not, set data.header=false and "
    "data.{role}-column to a position, from 0"
)
Rows = Callable[[], Sequence[Sequence[str]]]


def shape(text: str) -> str:
    """Return the form of a text without its content: a run of letters is ``a``, a digit is ``d``."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d", "\0", text)).replace("\0", "d")


def is_number(text: str) -> bool:
    """Whether a text is a number, or a date by its digits."""
    return bool(re.fullmatch(r"[-+.]?\d[-+\d.,:/ T]*([eE][-+]?\d+)?Z?", text.strip()))


def looks_like_data(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a first row is data for sure: a cell is a number, or stands in the same column of a later row.

    The numbered columns ``,0,1,2`` that pandas writes after an unnamed index are names.
    """
    cells = [cell.strip() for cell in first]
    if cells[0] == "" and cells[1:] == [str(number) for number in range(len(cells) - 1)]:
        return False
    if any(map(is_number, cells)):
        return True
    return any(
        cell and any(at < len(row) and row[at].strip() == cell for row in below) for at, cell in enumerate(cells)
    )


def surely_names(first: Sequence[str], below: Sequence[Sequence[str]]) -> list[str]:
    """Return the cells of a first row that name columns for sure, and so may be shown.

    The row is no data; the cell is a usual name, or a word of another form than what stands below it, or anywhere if it
    has digits.
    """
    if looks_like_data(first, below):
        return []
    forms = [{_form(row[at]) for row in below if at < len(row)} for at in range(len(first))]
    anywhere = set[str]().union(*forms)
    pairs = [(cell, _form(cell), seen) for cell, seen in zip(first, forms, strict=True)]
    return [cell for cell, form, seen in pairs if USUAL.fullmatch(cell) or _alone(cell, form, seen, anywhere)]


def _alone(cell: str, form: str, below: set[str], anywhere: set[str]) -> bool:
    return bool(below and WORD.fullmatch(cell)) and form not in (anywhere if "d" in form else below)


def _form(text: str) -> str:
    return re.sub("d+", "d", shape(text.strip()))


def position(
    path: Path, column: str | int, role: str, names: Sequence[str], width: int, below: Rows, mend: str = NO_HEADER
) -> int:
    """Return the position of a column that is there once.

    Parameters
    ----------
    path : Path
        The file, for messages.
    column : str or int
        The name of the column, or its position.
    role : str
        What it is for.
    names : sequence of str
        The first row, where it names columns.
    width : int
        How many columns there are.
    below : function
        Returns some rows of data, to find out whether the first row may be shown in a message.
    mend : str
        What to do where it may not be shown.

    Raises
    ------
    UserError
        There is no such column, or several.
    """
    found = [column] if isinstance(column, int) else [at for at, name in enumerate(names) if name == column]
    if len(found) == 1 and 0 <= found[0] < width:
        return found[0]
    key = f"data.{role}-column"
    if isinstance(column, int):
        raise UserError(f"{path} has no column {column} ({key}); positions go from 0 to {width - 1}")
    if found:
        raise UserError(f"{path} has {len(found)} columns {column!r} ({key}); rename all but one")
    raise no_column(path, column, role, names, below(), mend)


def no_column(
    path: Path, column: str, role: str, names: Sequence[str], below: Sequence[Sequence[str]], mend: str = NO_HEADER
) -> UserError:
    """Return the error that a column is missing; it lists the names that there are only where they are no data."""
    missing = f"{path} has no column {column!r} (data.{role}-column)"
    if len(names) == 1:
        return UserError(f"{missing}; only one column was found, so data.separator is wrong")
    if not (shown := surely_names(names, below)):
        return UserError(
            f"{missing}; its first line has {len(names)} fields, which may be data. {mend.format(role=role)}"
        )
    close = difflib.get_close_matches(column.casefold(), [name.casefold() for name in shown], 1)
    hint = next((f"; did you mean {name!r}?" for name in shown if [name.casefold()] == close), "")
    others = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return UserError(f"{missing}; its columns are {', '.join(map(repr, shown))}{others}{hint}")
