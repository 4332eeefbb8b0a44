import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkd.ragged import Ragged

ROWS = st.lists(st.lists(st.integers(0, 99), max_size=6), max_size=8)


@given(ROWS, st.data())
def test_take_returns_the_rows_asked_for(rows: list[list[int]], data: st.DataObject) -> None:
    ragged = Ragged.from_rows(rows, np.int32)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5)) if rows else []
    taken = ragged.take(np.array(chosen, np.int64))
    assert [taken[i].tolist() for i in range(len(taken))] == [rows[i] for i in chosen]


@given(ROWS, st.integers(1, 5))
def test_padding_is_on_the_left_and_keeps_the_latest(rows: list[list[int]], width: int) -> None:
    padded = Ragged.from_rows(rows, np.int32).padded(-1, width)
    assert padded.tolist() == [([-1] * width + row)[-width:] for row in rows]


@given(ROWS)
def test_where_keeps_rows_and_drops_values(rows: list[list[int]]) -> None:
    ragged = Ragged.from_rows(rows, np.int32)
    even = ragged.where(ragged.values % 2 == 0)
    assert [even[i].tolist() for i in range(len(even))] == [[v for v in row if v % 2 == 0] for row in rows]


def test_offsets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"len\(values\) = 3"):
        Ragged(np.arange(3), np.array([0, 2]))
    with pytest.raises(ValueError, match="begin with 0"):
        Ragged(np.arange(3), np.array([1, 3]))
