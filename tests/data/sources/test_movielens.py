"""MovieLens in its official forms and with positions alone: made-up rows, and the real files where present."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedkd.data.options import SplitOptions
from fedkd.data.sources.base import Loaded
from fedkd.data.sources.movielens_1m import MovieLens1M
from fedkd.data.sources.movielens_100k import MovieLens100K
from fedkd.data.sources.table import SOURCES
from fedkd.data.splits import split
from fedkd.errors import UserError
from tests.data.sources.tiny import TINY_1M, TINY_100K, histories, unpacked

REAL = Path(__file__).parents[4] / "shared" / "data"
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
    return MovieLens1M(path=folder).load()


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
    return MovieLens100K(path=folder).load()


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
    options = MovieLens100K(path=tmp_path, min_rating=3)
    with pytest.raises(UserError, match="4 x rating below 6"):
        options.model_copy(update={"min_rating": 6.0}).load()
    loaded = options.load()
    assert loaded.interactions.users.tolist() == ["2"]
    assert sorted(loaded.dropped.values()) == [1, 1]


@pytest.mark.parametrize("source", ["movielens-100k", "movielens-1m"])
def test_a_folder_without_the_files_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(UserError, match=r"data\.path must be the folder of the unpacked MovieLens archive"):
        SOURCES.find(source).model_validate({"path": tmp_path}).load()


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
        SOURCES.find(source).model_validate({"path": tmp_path}).load()


def test_100k_has_content_official_split_and_no_user_0(tmp_path: Path) -> None:
    unpacked(tmp_path / "ml-100k", TINY_100K)
    loaded = MovieLens100K(path=tmp_path).load()
    data = loaded.interactions
    assert histories(data) == {"1": ["1", "2"], "2": ["2", "3"]}
    assert loaded.dropped == {"user 0, who is not in MovieLens": 1}
    assert data.catalogue.titles is not None
    assert data.catalogue.titles.tolist() == ["Café: one (1995)", "Two (1996)", "Three"]
    assert data.catalogue.categories == ("unknown", "Drama")
    assert data.catalogue.membership.tolist() == [[False, True], [True, False], [True, True]]
    assert loaded.official_test is not None
    assert loaded.official_test.tolist() == [True, False, False, True]
    assert "MovieLens" in loaded.licence


def test_1m_reads_ratings_and_filters_by_them(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "any name", TINY_1M)
    loaded = MovieLens1M(path=folder, min_rating=4).load()
    assert histories(loaded.interactions) == {"2": ["20", "30"]}
    assert loaded.dropped == {"rating below 4": 1, "user with fewer than 2 interactions": 1}
    assert loaded.interactions.catalogue.titles is not None
    assert loaded.interactions.catalogue.titles.tolist() == ["Café (1990)", "Last"]


def test_1m_with_order_alone_has_no_times_and_no_ratings(tmp_path: Path) -> None:
    files = {"interactions.csv": "user_id,item_id,position\n1,10,1\n1,20,0\n2,30,0\n2,10,1\n"}
    folder = unpacked(tmp_path / "m", files | {"movies.dat": TINY_1M["movies.dat"]})
    loaded = MovieLens1M(path=folder).load()
    assert histories(loaded.interactions) == {"1": ["20", "10"], "2": ["30", "10"]}
    assert loaded.interactions.times is None
    with pytest.raises(UserError, match="no ratings"):
        MovieLens1M(path=folder, min_rating=4).load()


@pytest.mark.parametrize(
    ("source", "files", "message"),
    [
        ("movielens-100k", {}, r"holds no u\.data"),
        ("movielens-1m", {}, r"holds no interactions\.csv or ratings\.dat"),
        ("movielens-100k", {"u.data": "a,b\n"}, "is not a MovieLens file"),
        ("movielens-1m", {"interactions.csv": "user,item\n1,2\n"}, "must have whole numbers in columns user_id"),
    ],
)
def test_a_wrong_folder_is_explained(tmp_path: Path, source: str, files: dict[str, str], message: str) -> None:
    folder = unpacked(tmp_path / "f", files)
    with pytest.raises(UserError, match=message):
        SOURCES.find(source).model_validate({"path": folder}).load()


def real(name: str, source: str) -> Loaded:
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"needs the MovieLens files in {folder}")
    return SOURCES.find(source).model_validate({"path": folder}).load()


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


@pytest.mark.realdata
def test_the_real_100k() -> None:
    loaded = real("ml-100k", "movielens-100k")
    data = loaded.interactions
    assert (data.num_users, data.num_items, len(data), loaded.dropped) == (943, 1682, 100_000, {})
    official = split(loaded, SplitOptions(kind="official"), 0).test
    assert (len(official.train), len(official.target)) == (90_570, 9_430)
    assert np.all(official.target.histories.lengths == 10)
    assert data.times is not None
    inside = np.diff(data.histories.row_index) == 0
    assert np.all(np.diff(data.times)[inside] >= 0)


@pytest.mark.realdata
def test_the_real_1m_is_the_file_of_the_sequential_literature() -> None:
    data = real("ml-1m", "movielens-1m").interactions
    assert (data.num_users, data.num_items, len(data)) == (6040, 3416, 999_611)
    row = {user: position for position, user in enumerate(data.users.tolist())}
    order = pd.read_csv(REAL / "ml-1m" / "interactions.csv", dtype=str)["user_id"].unique()
    ordered = data.histories.take(np.array([row[user] for user in order]))
    number = pd.factorize(ordered.values)[0] + 1
    lines = zip((ordered.row_index + 1).tolist(), number.tolist(), strict=True)
    text = "".join(f"{user} {item}\n" for user, item in lines).encode()
    expected = "b725f3acb3986fe3130bffd1e77a74d182a1f51799567a236dbd60270f95b0a2"
    assert hashlib.sha256(text).hexdigest() == expected
