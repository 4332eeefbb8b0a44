"""From the text of a table to rows for cleaning: ids, times in seconds, and the words for how they were read."""

import numpy as np
import pandas as pd

from fedkd.data.sources.times import blockwise, numbers_of, seconds
from fedkd.errors import UserError

WHOLE = r"(?:0|-?[1-9]\d{0,17})"
"""Whole numbers that surely fit 64 bits; ``007`` and ``-0`` are other ids than ``7`` and ``0``."""

LONGEST = 500
"""Characters of an id; all ids are kept as wide as the longest one."""


def rows_of(frame: pd.DataFrame, time_format: str = "") -> tuple[pd.DataFrame, list[str]]:
    """Return rows with ids, times and ratings (NaN where one is no number), and how times were read.

    Parameters
    ----------
    frame : DataFrame, shape [rows, roles]
        Columns ``user``, ``item``, ``time`` and others by role; text, or what a typed file holds.
    time_format : str
        The form of times, as of ``data.time-format``; detected where it is empty.

    Raises
    ------
    UserError
        The form of times is not known, or two are possible, or a text is too long for an id.
    """
    rows, said = frame.copy(deep=False), []
    for role in ("user", "item"):
        rows[role] = ids(rows[role])
        if (length := rows[role].cat.categories.astype(str).str.len().max()) > LONGEST:
            raise UserError(
                f"the column of {role}s (data.{role}-column) holds a text of {length:,} characters, and an id has at "
                f"most {LONGEST}; choose another column, or check data.quoting and data.separator"
            )
    if "rating" in rows:
        rows["rating"] = blockwise(numbers_of, rows["rating"])
    if "time" in rows:
        rows["time"], words = seconds(rows["time"], time_format)
        said = [f"times as {words}"]
    return rows, said


def ids(column: pd.Series) -> pd.Series:
    """Return ids as categories: numbers where all of them are whole numbers (``7.0`` is ``7``), else text.

    Never by way of floats, so that long ids stay apart.
    """
    held = column.astype("category")
    names = pd.Series(held.cat.categories).astype("string").str.strip()
    plain = names.str.replace(r"\.0+$", "", regex=True)
    is_number = plain.mask(names == "").str.fullmatch(WHOLE).fillna(value=True)
    wanted = plain.mask(names == "").astype("Int64") if is_number.all() else names.mask(names == "")
    codes, distinct = pd.factorize(wanted)
    return pd.Series(pd.Categorical.from_codes(np.append(codes, -1)[held.cat.codes], distinct), column.index)
