"""Cleaning: all that is left out is counted, and nothing else is left out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        (",a,5,5\nv,,6,5\nNaN,b,6,5\n", "missing user or item"),
        ("  ,a,5,5\nv, ,6,5\n  ,b,6,5\n", "missing user or item"),
        ("-1,a,5,5\nv,-7,6,5\n-1,b,6,5\n", "negative user or item"),
        ("w,a,soon,5\nw,b,,5\nw,a,inf,5\n", "time cannot be read"),
        ("u,a,8,5\nu,a,9,2\nv,b,7,1\n", "same user and item"),
        ("x,a,8,5\ny,a,9,2\nz,b,7,1\n", "user with fewer than 2"),
    ],
)
def test_bad_rows_are_dropped_and_counted(tmp_path: Path, bad: str, words: str) -> None:
    data = loaded(tmp_path, GOOD + bad)
    assert the_count(data, words) == 3
    assert data.interactions.fingerprint == loaded(tmp_path, GOOD).interactions.fingerprint


def test_negative_numbers_go_where_all_ids_are_numbers(tmp_path: Path) -> None:
    data = loaded(tmp_path, "1,1,1,5\n1,2,2,5\n-1,1,3,5\n-1,2,4,5\n")
    assert the_count(data, "negative") == 2
    assert data.interactions.users.tolist() == ["1"]


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
    with pytest.raises(UserError, match="no interaction is left"):
        loaded(tmp_path, "")


PEOPLE, THINGS = ["1", "2", "3", "-4", ""], ["10", "20", "30", "-1", ""]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(THINGS), st.integers(0, 9)), max_size=40))
def test_cleaning_agrees_with_a_naive_one(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]]
) -> None:
    good = [row for row in rows if all(row[:2]) and not row[0].startswith("-") and not row[1].startswith("-")]
    histories: dict[int, dict[str, int]] = {}
    for user, item, time in sorted(good, key=lambda row: row[2]):
        histories.setdefault(int(user), {}).setdefault(item, time)
    kept = {user: items for user, items in sorted(histories.items()) if len(items) >= 2}
    file = tmp_path_factory.mktemp("naive") / "a.csv"
    pd.DataFrame(rows, columns=["user", "item", "at"]).to_csv(file, index=False)
    source = TableFile(path=file, time_column="at")
    if not kept:
        with pytest.raises(UserError, match="no interaction is left"):
            source.load()
        return
    found = source.load()
    data = found.interactions
    assert data.users.tolist() == list(map(str, kept))
    assert data.times is not None
    assert data.times.tolist() == [time for items in kept.values() for time in items.values()]
    named = data.catalogue.ids[data.histories.values]
    assert named.tolist() == [item for items in kept.values() for item in items]
    assert len(data) + sum(found.dropped.values()) == len(rows)
    assert np.all(data.popularity() > 0)
