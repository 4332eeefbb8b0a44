"""Release years read from columns and titles; what is no year is unknown."""

import numpy as np
import pandas as pd
import pytest

from fedkd.data.years import first_years, whole_years, years_of_titles


@pytest.mark.parametrize(
    ("told", "year"),
    [
        ("1995", 1995),
        (" 1995 ", 1995),
        ("1995.0", 1995),
        (1995.0, 1995),
        (1000, 1000),
        (2999, 2999),
        ("1995.5", 0),
        ("nineteen", 0),
        ("", 0),
        (None, 0),
        (np.nan, 0),
        (np.inf, 0),
        (0, 0),
        (-1995, 0),
        (999, 0),
        (99999, 0),
        ("1995-06-01", 0),
    ],
)
def test_a_year_is_a_whole_number_that_can_be_one(told: object, year: int) -> None:
    assert whole_years(pd.Series([told])).tolist() == [year]


def test_columns_of_any_type_are_read() -> None:
    assert whole_years(pd.Series([1995, None], dtype="Int64")).tolist() == [1995, 0]
    assert whole_years(pd.Series(["1995", None], dtype="string")).tolist() == [1995, 0]
    assert whole_years(pd.Series([], dtype=object)).tolist() == []


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("Film (1995)", 1995),
        ("Film, The (Le film) (1995)", 1995),
        ("1984 (1956) Remade (1984)", 1984),
        ("Film (1996) (V)", 1996),
        ("2001", 0),
        ("Film (95)", 0),
        ("Film (0001)", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_the_year_of_a_title_is_the_last_in_parentheses(title: str | None, year: int) -> None:
    assert years_of_titles(pd.Series([title], dtype=object)).tolist() == [year]


def test_the_first_known_year_of_an_item_holds() -> None:
    items, years = pd.Series(["a", "b", "a", "a", "c", None]), pd.Series([0, 1990, 1991, 1992, 0, 1993])
    found, several = first_years(items, years)
    assert found.to_dict() == {"a": 1991, "b": 1990}
    assert several == 1
