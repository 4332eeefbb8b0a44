"""The statistics of a data set against naive ones."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fedkd.data.catalogue import Catalogue
from fedkd.data.describe import Description, describe, description_table, gini
from fedkd.data.interactions import Interactions
from fedkd.data.sources.base import Loaded
from fedkd.ragged import Ragged


def tiny(times: bool = True, years: np.ndarray | None = None, pause: float = 30) -> Description:
    data = Interactions(
        np.array(["u", "v", "w"]),
        Ragged.from_rows([[0, 1], [0, 2, 3], [0]], np.int32),
        Catalogue(np.array(list("abcde")), None, ("News", "Sport"), np.zeros((5, 2), bool), years=years),
        np.array([0, 86400, 5, 6, 7, 90000]) if times else None,
    )
    return describe(Loaded(data, {"negative user or item id": 1234}, "made up", "none"), pause)


def text(description: Description) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(description_table(description))
    return captured.get()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30).filter(any))
def test_gini_is_half_the_relative_mean_difference(counts: list[int]) -> None:
    differences = np.mean([abs(one - other) for one in counts for other in counts])
    assert gini(np.array(counts)) == pytest.approx(differences / (2 * np.mean(counts)))


def test_statistics_are_those_counted_by_hand() -> None:
    found = tiny()
    assert (found.users, found.items, found.interactions) == (3, 5, 6)
    assert found.density == pytest.approx(6 / 15)
    assert found.popularity.tolist() == [3, 1, 1, 1, 0]
    assert found.head_share == pytest.approx(0.5)  # one item of five is a fifth
    assert found.top_share == pytest.approx(0.5)
    assert found.history_lengths.tolist() == [2, 3, 1]
    assert found.sessions.lengths.tolist() == [1, 1, 3, 1]
    assert found.times == (0, 90000)


def test_the_table_says_it_all_and_what_was_dropped() -> None:
    shown = text(tiny())
    for words in (
        "50.0% with the most popular 1%",
        "4, 1.3 of a user, median 1; 30 minutes without any interaction end one",
        "mean 1.5, least 1, 25% 1, median 1",
        "median 1 seconds within a session, 1 days between two",
        "mean 2.0, least 1",
        "40.00%",
        "50% of the interactions",
        "median 2",
        "1970-01-01 to 1970-01-02",
        "News, Sport",
    ):
        assert words in shown
    assert "dropped: negative user or item id" in shown
    assert "1,234" in shown


def test_without_times_there_are_no_sessions() -> None:
    assert "none; there are no times" in text(tiny(times=False))


def test_sessions_end_after_the_gap_that_is_asked_for() -> None:
    long = text(tiny(pause=1440))
    assert "3, 1.0 of a user, median 1; 1440 minutes without any interaction end one" in long
    assert "unknown between two" in long


def test_release_years_are_told_with_how_many_are_unknown() -> None:
    assert "1960 to 1995, unknown for 2" in text(tiny(years=np.array([1995, 0, 1960, 0, 1970])))
    assert "unknown" not in text(tiny(years=np.full(5, 1995)))
    for years in (None, np.zeros(5, np.int64)):
        assert re.search(r"release years +none", text(tiny(years=years)))


def test_without_times_order_alone_is_said() -> None:
    assert "order alone" in text(tiny(times=False))


def test_how_the_data_were_read_is_said_where_it_was_found_out() -> None:
    assert "read as" not in text(tiny())
    assert re.search(r"read as +separated by tab", text(replace(tiny(), how="separated by tab")))
