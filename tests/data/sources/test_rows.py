"""Ids and times of rows."""

import numpy as np
import pandas as pd
import pytest

from fedkd.data.sources.rows import ids, rows_of
from fedkd.errors import UserError


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["7", "7.0", "10", None], [7, 7, 10, None]),
        (["7", "7.0", "x"], ["7", "7.0", "x"]),
        (["007", "7"], ["007", "7"]),
        (["-5", "3"], [-5, 3]),
        ([" a ", "a", " "], ["a", "a", None]),
        (["NA", "nan"], ["NA", "nan"]),
        (["9007199254740992", "9007199254740993"], [9007199254740992, 9007199254740993]),
        (["9" * 19, "1"], ["9" * 19, "1"]),
        ([None, None], [None, None]),
        ([], []),
    ],
)
@pytest.mark.parametrize("kind", ["string", "category", "object"])
def test_ids_are_numbers_where_all_of_them_are(given: list[str | None], wanted: list[object], kind: str) -> None:
    found = ids(pd.Series(given, dtype="string").astype(kind))
    assert isinstance(found.dtype, pd.CategoricalDtype)
    assert [None if pd.isna(value) else value for value in found] == wanted


def test_rows_keep_other_columns_and_say_how_times_were_read() -> None:
    frame = pd.DataFrame({"user": ["1", "1"], "item": ["x", "y"], "time": ["5000", "7000"], "rating": ["3", None]})
    rows, said = rows_of(frame, "ms")
    assert (rows["time"].tolist(), said) == ([5.0, 7.0], ["times as milliseconds"])
    assert (rows["rating"][0], rows["rating"].isna().tolist()) == (3.0, [False, True])
    assert frame["time"].tolist() == ["5000", "7000"]
    assert np.array_equal(rows["user"].cat.categories, [1])
    assert rows_of(frame[["user", "item"]])[1] == []


def test_a_text_that_is_too_long_for_an_id_is_refused_and_not_shown() -> None:
    frame = pd.DataFrame({"user": ["1", "2"], "item": ["x", "zebra " * 100]})
    with pytest.raises(UserError, match=r"data\.item-column.* text of 599 characters") as caught:
        rows_of(frame)
    assert "zebra" not in str(caught.value)
