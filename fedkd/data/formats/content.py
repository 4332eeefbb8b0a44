"""Titles, categories and years of items, from rows of text."""

from typing import Any

import numpy as np
import pandas as pd

from fedkd.data.formats.forms import INSIDE
from fedkd.data.sources.rows import WHOLE
from fedkd.data.years import whole_years, years_of_titles

CONTENT = ("title", "categories", "year")
"""Roles of columns that tell something of an item."""
LONGEST = 200
"""Letters of a title that are kept."""
MOST = 100
"""Categories that are kept, those of most items."""


def content(
    told: list[pd.DataFrame], ids: pd.Series, dropped: dict[str, int], dated_titles: bool = False
) -> dict[str, Any]:
    """Return what rows tell of their items; the first row of an item that tells a thing counts.

    Parameters
    ----------
    told : list of DataFrame
        Columns ``item`` and, some of them, ``title``, ``categories`` (with ``INSIDE`` between them) and ``year``, as
        text.
    ids : Series of categories
        The items of the interactions; others are left out.
    dropped : dict of str to int
        Gains a count of what is left out.
    dated_titles : bool
        Whether titles end in the year in parentheses, as those of films do.
    """
    told = [frame for frame in told if any(name in frame for name in CONTENT)]
    if not told:
        return {}
    rows = pd.concat([_of_items(frame, ids) for frame in told])
    rows = rows.groupby("item", sort=False).first()
    known: dict[str, Any] = {}
    if "title" in rows:
        known["titles"] = rows["title"].fillna("").str.strip().str.slice(stop=LONGEST)
    if "categories" in rows:
        known["membership"] = _membership(rows["categories"].fillna(""), dropped)
    if "year" in rows:
        known["years"] = _years(rows["year"])
    elif dated_titles:
        known["years"] = years_of_titles(known["titles"])
    return known


def _of_items(frame: pd.DataFrame, ids: pd.Series) -> pd.DataFrame:
    """Return the rows of items that interactions name, with ids of the same type and text beside them."""
    known, roles = ids.cat.categories, [name for name in CONTENT if name in frame]
    frame = frame.dropna(subset=roles, how="all").drop_duplicates("item")
    rows = frame[roles].astype("string").assign(item=_alike(frame["item"], known))
    return rows[rows["item"].isin(known)]


def _alike(column: pd.Series, known: "pd.Index[Any]") -> pd.Series:
    """Return ids of the type of those that are known; those that cannot be of it are missing."""
    text = column.astype("string").str.strip()
    if not pd.api.types.is_integer_dtype(known):
        return text
    plain = text.str.replace(r"\.0+$", "", regex=True)
    return plain.where(plain.str.fullmatch(WHOLE).fillna(value=False)).astype("Int64")


def _membership(named: "pd.Series[str]", dropped: dict[str, int]) -> pd.DataFrame:
    """Return which item is of which category, a column a category."""
    pairs = named.str.split(INSIDE).explode().str.strip()
    pairs = pairs[pairs != ""]
    counts = pairs.groupby(pairs).size().sort_values(ascending=False, kind="stable")
    kept = sorted(counts.index[:MOST])
    if len(counts) > MOST:
        dropped[f"categories: the {MOST} of most items are kept, others"] = len(counts) - MOST
    flags = np.zeros((len(named), len(kept)), bool)
    column = pd.Index(kept).get_indexer(pd.Index(pairs))
    row = named.index.get_indexer(pairs.index)
    flags[row[column >= 0], column[column >= 0]] = True
    return pd.DataFrame(flags, named.index, kept)


def _years(column: pd.Series) -> "pd.Series[int]":
    """Return the years that a column tells, of dates as of numbers."""
    return whole_years(column.astype("string").str.extract(r"^\s*(\d{4})(?!\d)", expand=False))
