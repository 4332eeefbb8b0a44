"""Cleaning: all that is left out is counted, and nothing else is left out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedkd.data.cleaning import left_out
from fedkd.data.sources.base import Loaded
from fedkd.data.sources.table_file import TableFile
from fedkd.errors import UserError

GOOD = "u,a,1,5\nu,b,2,4\nv,a,3,3\nv,b,4,5\n"


def loaded(path: Path, rows: str, **options: object) -> Loaded:
    file = path / "a.csv"
    file.write_text("user,item,at,stars\n" + rows)
    given = {"path": file, "time_column": "at", "rating_column": "stars", **options}
    return TableFile.model_validate(given).load()


def the_count(data: Loaded, words: str) -> int:
    """Return the count of the one reason that holds the words; no other reason may be given."""
    (reason,) = data.dropped
    assert words in reason
    return data.dropped[reason]


def test_good_rows_all_stay(tmp_path: Path) -> None:
    data = loaded(tmp_path, GOOD)
    assert data.dropped == {}
    assert data.interactions.matrix().toarray().tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (",a,5,5\nv,,6,5\n\t,b,6,5\n", "missing user or item"),
        ("  ,a,5,5\nv, ,6,5\n  ,b,6,5\n", "missing user or item"),
        ("w,a,soon,5\nw,b,,5\nw,a,inf,5\n", "time cannot be read"),
        ("u,a,8,5\nu,a,9,2\nv,b,7,1\n", "same user and item"),
        ("x,a,8,5\ny,a,9,2\nz,b,7,1\n", "user with fewer than 2"),
    ],
)
def test_bad_rows_are_dropped_and_counted(tmp_path: Path, bad: str, words: str) -> None:
    data = loaded(tmp_path, GOOD + bad)
    assert the_count(data, words) == 3
    assert data.interactions.fingerprint == loaded(tmp_path, GOOD).interactions.fingerprint


def test_negative_ids_are_ids_as_hashes_have_them(tmp_path: Path) -> None:
    data = loaded(tmp_path, "7,-8,1,5\n7,2,2,5\n-6917529027641081856,-8,3,5\n-6917529027641081856,2,4,5\n")
    assert data.dropped == {}
    assert data.interactions.users.tolist() == ["-6917529027641081856", "7"]
    assert data.interactions.catalogue.ids.tolist() == ["-8", "2"]


def test_the_id_minus_one_counts_as_an_id_and_is_said(tmp_path: Path) -> None:
    data = loaded(tmp_path, "1,1,1,5\n1,2,2,5\n-1,1,3,5\n-1,2,4,5\n")
    assert data.dropped == {"user id -1: it counts as an id": 2}
    assert data.interactions.users.tolist() == ["-1", "1"]


LOST = [
    ("u,a,1,5\nv,b,2,5\nv,a,3,5\nv,,4,5\n,b,5,5\n,a,6,5\n", {}, "3 of 6 rows .*missing user or item"),
    (GOOD + "x,b,no,5\nx,c,?,5\ny,b,,5\ny,c,,5\n", {"time_format": "s"}, "4 of 8 rows .*time.*data.time-format"),
    (GOOD + "u,a,5,5\nu,a,6,5\nv,b,7,5\nv,b,8,5\n", {}, "4 of 8 rows .*again.*data.item-column"),
    (GOOD + "w,a,5,5\nx,a,6,5\ny,b,7,5\nz,b,8,5\n", {}, "4 of 8 rows .*fewer than 2.*data.min-user-interactions=1"),
]


@pytest.mark.parametrize(("rows", "options", "message"), LOST)
def test_half_of_the_rows_lost_to_one_reason_are_refused_unless_wanted(
    tmp_path: Path, rows: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=f"{message}.*data.largest-loss=1"):
        loaded(tmp_path, rows, **options)
    kept = loaded(tmp_path, rows, largest_loss=1, **options)
    assert len(kept.interactions) + sum(kept.dropped.values()) == rows.count("\n")
    assert loaded(tmp_path, rows, largest_loss=0.9, **options).dropped == kept.dropped


def test_what_a_key_asks_for_may_take_any_share(tmp_path: Path) -> None:
    rows = GOOD + "w,c,5,1\nw,d,6,1\nx,c,7,1\nx,d,8,1\nx,e,9,1\n"
    assert len(loaded(tmp_path, rows, min_rating=2).interactions) == 4
    assert loaded(tmp_path, rows, min_user_interactions=3).interactions.users.tolist() == ["x"]
    assert loaded(tmp_path, rows + "y,e,2,2\n" * 9, min_user_interactions=1).interactions.num_users == 5


def test_every_loss_is_said_in_one_line_when_data_are_loaded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = loaded(tmp_path, GOOD + "x,a,8,5\n,b,9,5\n")
    (said,) = caplog.messages
    assert said.startswith("data: read as separated by comma")
    assert "1 x missing user or item id; 1 x user with fewer than 2 interactions" in said
    assert found.said in said


def test_of_a_repeated_pair_the_earliest_stays(tmp_path: Path) -> None:
    data = loaded(tmp_path, "u,a,9,5\nu,b,5,5\nu,a,1,1\n").interactions
    assert data.times is not None
    assert data.times.tolist() == [1, 5]
    assert data.catalogue.ids[data.histories[0]].tolist() == ["a", "b"]


def test_low_and_unreadable_ratings_go_when_a_least_one_is_asked_for(tmp_path: Path) -> None:
    data = loaded(tmp_path, GOOD + "u,c,5,3.9\nv,c,6,\n", min_rating=3)
    assert sum(data.dropped.values()) == 1
    data = loaded(tmp_path, GOOD + "u,c,5,3.9\nu,d,6,\n", min_rating=4, min_user_interactions=1)
    assert sum(data.dropped.values()) == 3
    assert len(data.interactions) == 3


def test_rare_items_go_before_short_users(tmp_path: Path) -> None:
    data = loaded(tmp_path, GOOD + "w,a,5,5\nw,c,6,5\n", min_item_interactions=2)
    assert sorted(data.dropped.values()) == [1, 1]  # c had one user, which leaves w one item
    assert data.interactions.users.tolist() == ["u", "v"]


def test_when_nothing_is_left_the_message_tells_what_was_dropped(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no interaction is left.*2.*fewer than 2"):
        loaded(tmp_path, "u,a,1,5\nv,a,2,5\n")
    with pytest.raises(UserError, match="no row of data"):
        loaded(tmp_path, "")


PEOPLE, THINGS = ["1", "2", "3", "-4", ""], ["10", "20", "30", "-1", ""]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(THINGS), st.integers(0, 9)), max_size=40))
def test_cleaning_agrees_with_a_naive_one(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]]
) -> None:
    good = [row for row in rows if all(row[:2])]
    histories: dict[int, dict[str, int]] = {}
    for user, item, time in sorted(good, key=lambda row: row[2]):
        histories.setdefault(int(user), {}).setdefault(item, time)
    kept = {user: items for user, items in sorted(histories.items()) if len(items) >= 2}
    file = tmp_path_factory.mktemp("naive") / "a.csv"
    pd.DataFrame(rows, columns=["user", "item", "at"]).to_csv(file, index=False)
    source = TableFile(path=file, time_column="at", largest_loss=1)
    if not kept:
        with pytest.raises(UserError, match=r"no interaction is left|no row of data"):
            source.load()
        return
    found = source.load()
    data = found.interactions
    assert data.users.tolist() == list(map(str, kept))
    assert data.times is not None
    assert data.times.tolist() == [time for items in kept.values() for time in items.values()]
    named = data.catalogue.ids[data.histories.values]
    assert named.tolist() == [item for items in kept.values() for item in items]
    assert len(data) + sum(left_out(found.dropped).values()) == len(rows)
    assert np.all(data.popularity() > 0)
