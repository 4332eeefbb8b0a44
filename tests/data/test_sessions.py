"""Sessions against a plain loop over every history, and against those counted by hand."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.data.sessions import PAUSE_MINUTES, session_histories, sessions
from fedkd.ragged import Ragged

PAUSE = round(60 * PAUSE_MINUTES)

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
    rows, user = session_histories(visited(gaps))
    assert [(int(user[row]), rows[row].tolist()) for row in range(len(rows))] == naive(gaps)


def test_without_times_a_history_is_one_session() -> None:
    timeless = replace(visited([[0, 9000], [], [0]]), times=None)
    rows, user = session_histories(timeless)
    assert [rows[row].tolist() for row in range(3)] == [[0, 1], [], [0]]
    assert user.tolist() == [0, 1, 2]


def data(times: list[int] | None) -> Interactions:
    rows = Ragged.from_rows([[0, 1, 2], [], [0, 1, 2]], np.int32)
    return Interactions(np.array(["u", "v", "w"]), rows, Catalogue(np.array(list("abc"))), times and np.array(times))  # type: ignore[arg-type]


def test_half_an_hour_without_anything_ends_a_session() -> None:
    found = sessions(data([0, 1800, 3601, 3602, 3602, 90_000]))
    assert found.lengths.tolist() == [2, 1, 2, 1]  # w begins where u ended
    assert found.of_users.tolist() == [2, 2]
    assert found.within.tolist() == [1800, 0]
    assert found.between.tolist() == [1801, 86_398]


def test_another_gap_ends_other_sessions() -> None:
    assert sessions(data([0, 1800, 3601, 3602, 3602, 90_000]), 24 * 60).lengths.tolist() == [3, 3]
    assert sessions(data([0, 1, 1, 3, 4, 5]), 0).lengths.tolist() == [1, 2, 1, 1, 1]


def test_without_times_or_interactions_there_are_none() -> None:
    nobody = data([0, 1, 2, 3, 4, 5]).where(np.zeros(6, bool))
    for found in (sessions(data(None)), sessions(nobody)):
        assert not sum(map(len, (found.lengths, found.of_users, found.within, found.between)))
