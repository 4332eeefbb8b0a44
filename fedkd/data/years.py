"""Release years of items, from whatever a source writes of them; 0 is a year that nobody knows."""

import numpy as np
import pandas as pd

FIRST, LAST = 1000, 2999
"""Other numbers are no years: they stand for an unknown one, or are a slip."""


def whole_years(column: pd.Series) -> "pd.Series[int]":
    """Return a column's years; 0 where there is none, or something else than a whole number that can be one."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    good = numbers.between(FIRST, LAST) & (numbers % 1 == 0)
    return numbers.where(good, 0).astype(np.int64)


def years_of_titles(titles: pd.Series) -> "pd.Series[int]":
    """Return the last year in parentheses of every title, as in ``Toy Story (1995)``; 0 where there is none."""
    return whole_years(titles.astype("string").str.extract(r".*\((\d{4})\)", expand=False))


def first_years(items: pd.Series, years: "pd.Series[int]") -> "tuple[pd.Series[int], int]":
    """Return the first known year of every item that has one, and how many items have several.

    Parameters
    ----------
    items : Series, shape [rows]
        The item of every row.
    years : Series of int64, shape [rows]
        The year that the row tells of it, 0 where it tells none.
    """
    known = years > 0
    by_item = years[known].groupby(items[known])
    return by_item.first(), int((by_item.nunique() > 1).sum())
