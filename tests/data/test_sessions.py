"""Sessions against those counted by hand."""

import numpy as np

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.data.sessions import sessions
from fedkd.ragged import Ragged


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
