"""MovieLens in its official forms and with positions alone: made-up rows, and the real files where present."""

from pathlib import Path

import numpy as np
import pytest

from fedkd.data.options import DataOptions, SplitOptions
from fedkd.data.sources import Loaded, load
from fedkd.data.splits import split
from fedkd.errors import UserError

REAL = Path(__file__).parents[3] / "shared" / "data"
MOVIES = "3::Comedy Café (1990)::Comedy|Drama\n5::Night (1991)::Horror\n9::Nobody's (1992)::Drama\n"
# user, item, time: film 5 before film 3 for user 2
SEEN = [(1, 3, 10), (1, 5, 20), (2, 5, 30), (2, 3, 40), (2, 7, 40)]


def one_m(folder: Path, name: str) -> Loaded:
    folder.mkdir()
    (folder / "movies.dat").write_text(MOVIES, encoding="latin-1")
    if name == "ratings.dat":
        text = "".join(f"{user}::{item}::4::{time}\n" for user, item, time in SEEN)
    else:
        place = {user: [row for row in SEEN if row[0] == user] for user, _, _ in SEEN}
        lines = [f"{row[0]},{row[1]},{place[row[0]].index(row)}\n" for row in reversed(SEEN)]
        text = "user_id,item_id,position\n" + "".join(lines)
    (folder / name).write_text(text)
    return load(DataOptions(source="movielens-1m", path=folder))


def test_both_forms_of_1m_hold_the_same_histories(tmp_path: Path) -> None:
    official, positions = one_m(tmp_path / "a", "ratings.dat"), one_m(tmp_path / "b", "interactions.csv")
    assert official.interactions.fingerprint == positions.interactions.fingerprint
    assert official.interactions.times is not None
    assert official.interactions.times.tolist() == [10, 20, 30, 40, 40]
    assert positions.interactions.times is None
    assert [official.interactions.catalogue.ids[row].tolist() for row in official.interactions.histories] == [
        ["3", "5"],
        ["5", "3", "7"],
    ]


def test_content_of_1m_follows_the_items_and_is_empty_where_unknown(tmp_path: Path) -> None:
    catalogue = one_m(tmp_path / "a", "ratings.dat").interactions.catalogue
    assert catalogue.ids.tolist() == ["3", "5", "7"]
    assert catalogue.titles is not None
    assert catalogue.titles.tolist() == ["Comedy Café (1990)", "Night (1991)", ""]
    assert catalogue.years is not None
    assert catalogue.years.tolist() == [1990, 1991, 0]
    assert catalogue.categories == ("Comedy", "Drama", "Horror")
    assert catalogue.membership.tolist() == [[True, True, False], [False, False, True], [False, False, False]]


def hundred_k(folder: Path, test: str = "") -> Loaded:
    folder.mkdir(exist_ok=True)
    (folder / "u.data").write_text("1\t10\t5\t100\n1\t11\t1\t90\n2\t10\t3\t80\n2\t12\t4\t81\n")
    (folder / "u.genre").write_text("unknown|0\nAction|1\n\n")
    films = [f"{item}|Film {item} é (1990)|01-Jan-1990||http://x|{item % 2}|1\n" for item in (12, 11, 10)]
    (folder / "u.item").write_text("".join(films), encoding="latin-1")
    if test:
        (folder / "ua.test").write_text(test)
    return load(DataOptions(source="movielens-100k", path=folder))


def test_100k_is_read_with_times_and_content(tmp_path: Path) -> None:
    loaded = hundred_k(tmp_path)
    catalogue = loaded.interactions.catalogue
    assert loaded.official_test is None
    assert loaded.interactions.times is not None
    assert loaded.interactions.times.tolist() == [90, 100, 80, 81]
    assert catalogue.titles is not None
    assert catalogue.titles.tolist() == ["Film 10 é (1990)", "Film 11 é (1990)", "Film 12 é (1990)"]
    assert catalogue.years is not None
    assert catalogue.years.tolist() == [1990, 1990, 1990]
    assert catalogue.membership[:, catalogue.categories.index("unknown")].tolist() == [False, True, False]


def test_the_official_test_part_of_100k_is_marked(tmp_path: Path) -> None:
    loaded = hundred_k(tmp_path, test="1\t10\t5\t100\n2\t10\t3\t80\n")
    assert loaded.official_test is not None
    assert loaded.official_test.tolist() == [False, True, True, False]


def test_a_least_rating_uses_the_ratings(tmp_path: Path) -> None:
    hundred_k(tmp_path)
    options = DataOptions(source="movielens-100k", path=tmp_path, min_rating=3)
    with pytest.raises(UserError, match="4 x rating below 6"):
        load(options.model_copy(update={"min_rating": 6.0}))
    loaded = load(options)
    assert loaded.interactions.users.tolist() == ["2"]
    assert sorted(loaded.dropped.values()) == [1, 1]


@pytest.mark.parametrize("source", ["movielens-100k", "movielens-1m"])
def test_a_folder_without_the_files_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(UserError, match=r"data\.path must be the folder of the unpacked MovieLens archive"):
        load(DataOptions.model_validate({"source": source, "path": tmp_path}))


@pytest.mark.parametrize(
    ("source", "name", "text"),
    [
        ("movielens-100k", "u.data", "<html>\nnot found\n</html>\n"),
        ("movielens-100k", "u.data", ""),
        ("movielens-1m", "ratings.dat", "1::2::x::4\n"),
        ("movielens-1m", "interactions.csv", "user,item\n1,2\n"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path: Path, source: str, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=name):
        load(DataOptions.model_validate({"source": source, "path": tmp_path}))


def real(name: str, source: str) -> Loaded:
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"needs the MovieLens files in {folder}")
    return load(DataOptions.model_validate({"source": source, "path": folder}))


@pytest.mark.realdata
def test_100k_has_its_published_size_and_official_split() -> None:
    loaded = real("ml-100k", "movielens-100k")
    data = loaded.interactions
    assert (data.num_users, data.num_items, len(data)) == (943, 1682, 100_000)
    assert len(data.catalogue.categories) == 19
    assert data.catalogue.years is not None
    assert (data.catalogue.years == 0).sum() == 1  # one film has no title
    fold = split(loaded, SplitOptions(kind="official"), 0).test
    assert (len(fold.train), len(fold.target)) == (90_570, 9_430)
    assert np.unique(fold.target.histories.lengths).tolist() == [10]  # ua: ten test items for every user


@pytest.mark.realdata
def test_1m_has_its_published_size() -> None:
    loaded = real("ml-1m", "movielens-1m")
    data = loaded.interactions
    assert (data.num_users, data.num_items, len(data)) == (6040, 3416, 999_611)
    assert data.histories.lengths.min() >= 5
    assert len(data.catalogue.categories) == 18
    assert data.catalogue.years is not None
    assert (data.catalogue.years.min(), data.catalogue.years.max()) == (1919, 2000)
