import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkd.ragged import Ragged, offsets

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


@given(st.lists(ROWS, min_size=1, max_size=3))
def test_concatenation_puts_all_rows_one_after_the_other(parts: list[list[list[int]]]) -> None:
    whole = Ragged.concatenate([Ragged.from_rows(rows, np.int32) for rows in parts])
    assert [row.tolist() for row in (whole[i] for i in range(len(whole)))] == [row for rows in parts for row in rows]
    assert whole.indptr.dtype == np.int64


def test_the_matrix_has_a_one_at_every_position() -> None:
    matrix = Ragged.from_rows([[2, 0], [], [1]], np.int32).matrix(4, np.float64)
    assert matrix.toarray().tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    assert matrix.dtype == np.float64


@pytest.mark.parametrize("kind", ["<u4", "int32", "int64"])
def test_offsets_are_whole_numbers_of_64_bits(kind: str) -> None:
    ends = offsets(np.array([2**31 - 1, 2**31 - 1, 3], kind))
    assert ends.tolist() == [0, 2**31 - 1, 2**32 - 2, 2**32 + 1]
    assert ends.dtype == np.int64
