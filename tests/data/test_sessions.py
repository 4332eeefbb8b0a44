"""Sessions against a plain loop over every history."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.data.sessions import PAUSE, sessions
from fedkd.ragged import Ragged

GAPS = st.lists(st.lists(st.sampled_from([0, PAUSE, PAUSE + 1, 90_000]), max_size=6), max_size=5)


def visited(gaps: list[list[int]]) -> Interactions:
    rows = [np.arange(len(row)) for row in gaps]
    times = np.concatenate([np.zeros(0, np.int64), *[9 - user + np.cumsum(row) for user, row in enumerate(gaps)]])
    names = np.arange(len(gaps)).astype(np.str_)
    return Interactions(names, Ragged.from_rows(rows, np.int32), Catalogue.numbered(6), times.astype(np.int64))


def naive(gaps: list[list[int]]) -> list[tuple[int, list[int]]]:
    found: list[tuple[int, list[int]]] = []
    for user, row in enumerate(gaps):
        for item, gap in enumerate(row):
            if item == 0 or gap > PAUSE:
                found.append((user, []))
            found[-1][1].append(item)
    return found


@given(GAPS)
def test_a_session_ends_where_a_user_does_nothing_for_long(gaps: list[list[int]]) -> None:
    rows, user = sessions(visited(gaps))
    assert [(int(user[row]), rows[row].tolist()) for row in range(len(rows))] == naive(gaps)


def test_without_times_a_history_is_one_session() -> None:
    timeless = replace(visited([[0, 9000], [], [0]]), times=None)
    rows, user = sessions(timeless)
    assert [rows[row].tolist() for row in range(3)] == [[0, 1], [], [0]]
    assert user.tolist() == [0, 1, 2]
