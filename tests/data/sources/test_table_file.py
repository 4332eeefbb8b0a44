"""Reading people's own tables: formats, ids, times, and messages that mend."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedkd.data.interactions import Interactions
from fedkd.data.sources.table_file import TableFile
from fedkd.errors import UserError
from tests.data.sources.tiny import histories

ROWS = "user,item,when,stars\nann,x,3,5\nbob,x,1,4\nann,y,2,1\nbob,z,2,5\nann,z,1,2\n"


def table(path: Path, text: str, **options: object) -> Interactions:
    path.write_text(text)
    return TableFile.model_validate({"path": path, **options}).load().interactions


def write_gzip(path: Path, frame: pd.DataFrame) -> None:
    path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))


FORMATS: dict[str, Callable[[Path, pd.DataFrame], None]] = {
    "a.csv": lambda path, frame: frame.to_csv(path, index=False),
    "a.tsv": lambda path, frame: frame.to_csv(path, index=False, sep="\t"),
    "a.txt": lambda path, frame: frame.to_csv(path, index=False, sep=";"),
    "bar.csv": lambda path, frame: frame.to_csv(path, index=False, sep="|"),
    "a.csv.gz": write_gzip,
    "a.parquet": lambda path, frame: frame.to_parquet(path),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_histories_in_time_order(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame([line.split(",") for line in ROWS.splitlines()[1:]], columns=["user", "item", "when", "stars"])
    frame = frame.astype({"when": int, "stars": int})
    FORMATS[name](tmp_path / name, frame)
    data = TableFile(path=tmp_path / name, time_column="when").load().interactions
    assert histories(data) == {"ann": ["z", "y", "x"], "bob": ["x", "z"]}
    assert data.times is not None
    assert data.times.tolist() == [1, 2, 3, 1, 2]


def test_without_times_rows_keep_their_order(tmp_path: Path) -> None:
    data = table(tmp_path / "a.csv", ROWS)
    assert histories(data) == {"ann": ["x", "y", "z"], "bob": ["x", "z"]}
    assert data.times is None


@pytest.mark.parametrize(
    ("dates", "seconds"),
    [
        (("2020-01-02", "2020-01-01"), (1577836800, 1577923200)),
        (("2020-01-01T01:00:00+01:00", "2020-01-01T00:00:01Z"), (1577836800, 1577836801)),
        (("1577836801.5", "1577836800"), (1577836800, 1577836801)),
    ],
)
def test_dates_and_numbers_become_seconds(tmp_path: Path, dates: tuple[str, str], seconds: tuple[int, int]) -> None:
    data = table(tmp_path / "a.csv", f"user,item,at\n1,1,{dates[0]}\n1,2,{dates[1]}\n", time_column="at")
    assert data.times is not None
    assert tuple(data.times.tolist()) == seconds


def test_dates_of_parquet_become_seconds(tmp_path: Path) -> None:
    when = pd.to_datetime(pd.Series(["2020-01-02", "2020-01-01"]))
    pd.DataFrame({"user": [1, 1], "item": [1, 2], "at": when}).to_parquet(tmp_path / "a.parquet")
    data = TableFile(path=tmp_path / "a.parquet", time_column="at").load().interactions
    assert data.times is not None
    assert data.times.tolist() == [1577836800, 1577923200]
    assert histories(data) == {"1": ["2", "1"]}


def test_numbers_are_ordered_as_numbers_and_text_as_text(tmp_path: Path) -> None:
    numbers = table(tmp_path / "a.csv", "user,item\n10,1\n10,2\n9,1\n9,2\n")
    text = table(tmp_path / "b.csv", "user,item\nu10,1\nu10,2\nu9,1\nu9,2\n")
    assert numbers.users.tolist() == ["9", "10"]
    assert text.users.tolist() == ["u10", "u9"]


def test_long_ids_stay_apart_even_beside_a_missing_one(tmp_path: Path) -> None:
    one, other = "9007199254740992", "9007199254740993"  # equal as floats
    data = table(tmp_path / "a.csv", f"user,item\n{one},1\n{one},2\n{other},1\n{other},2\n,1\n")
    assert data.users.tolist() == [one, other]


def test_ids_beyond_64_bits_are_text(tmp_path: Path) -> None:
    large = "123456789012345678901234567890"
    assert table(tmp_path / "a.csv", f"user,item\n{large},1\n{large},2\n").users.tolist() == [large]


def test_a_column_of_groups_reaches_the_users(tmp_path: Path) -> None:
    text = "user,item,shop\n1,1,north\n1,2,north\n2,1,south\n2,2,south\n"
    data = table(tmp_path / "a.csv", text, group_column="shop")
    assert data.groups is not None
    assert data.groups.tolist() == ["north", "south"]


def test_a_column_of_profiles_reaches_the_users(tmp_path: Path) -> None:
    text = "user,item,phone\n1,1,old\n1,2,new\n2,1,\n2,2,\n3,1,007\n"
    loaded = TableFile(path=written(tmp_path, text), profile_column="phone", min_user_interactions=1).load()
    assert loaded.interactions.profiles is not None
    assert loaded.interactions.profiles.tolist() == ["old", "unknown", "007"]
    assert loaded.dropped == {"user in several profiles: the first is kept": 1}


def test_a_column_of_years_reaches_the_items(tmp_path: Path) -> None:
    text = "user,item,year\n1,7,1990\n1,8,\n2,7.0,1990\n2,9,1985\n"
    loaded = TableFile(path=written(tmp_path, text), year_column="year").load()
    assert loaded.interactions.catalogue.ids.tolist() == ["7", "8", "9"]
    assert loaded.interactions.catalogue.years is not None
    assert loaded.interactions.catalogue.years.tolist() == [1990, 0, 1985]
    assert loaded.dropped == {}


def test_bad_years_are_unknown_and_counted(tmp_path: Path) -> None:
    text = "user,item,year\n1,a,soon\n1,b,0\n2,a,99999\n2,b,1990\n3,b,1991\n3,c,NaN\n"
    loaded = TableFile(path=written(tmp_path, text), year_column="year").load()
    assert loaded.interactions.catalogue.years is not None
    assert loaded.interactions.catalogue.years.tolist() == [0, 1990, 0]
    assert len(loaded.interactions) == 6
    unread, several = loaded.dropped.items()
    assert ("cannot be read" in unread[0], unread[1]) == (True, 4)
    assert ("several release years" in several[0], several[1]) == (True, 1)


def test_a_column_without_a_single_year_is_refused(tmp_path: Path) -> None:
    refused(
        tmp_path / "a.csv", b"user,item,year\n1,1,x\n1,2,0\n", r"data\.year-column.*1000 to 2999", year_column="year"
    )


def test_a_missing_column_of_years_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "a.csv", b"user,item,years\n1,1,1990\n1,2,1991\n", r"data\.year-column", year_column="year")


def written(folder: Path, text: str) -> Path:
    (folder / "a.csv").write_text(text)
    return folder / "a.csv"


def refused(path: Path, content: bytes, match: str, **options: object) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match=match):
        TableFile.model_validate({"path": path, **options}).load()


def test_a_missing_column_is_named_with_the_close_one_and_its_key(tmp_path: Path) -> None:
    text = b"user_id,item\n1,1\n1,2\n"
    refused(tmp_path / "a.csv", text, r"(?s)data\.user-column.*user_id.*did you mean .?user_id")


def test_a_wrong_separator_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "a.csv", ROWS.encode(), r"data\.separator", separator=";")
    refused(tmp_path / "b.csv", b"user~item\n1~1\n", r"data\.separator")


def test_a_separator_can_be_given(tmp_path: Path) -> None:
    assert histories(table(tmp_path / "a.txt", "user item\n1 1\n1 2\n", separator=" ")) == {"1": ["1", "2"]}


@pytest.mark.parametrize("content", [b"", b"\n", b"\0" * 99, b"PK\x03\x04\xff\xfe\x80", b"user,item\n1,\xff\xfe\n"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    refused(tmp_path / "a.csv", content, r"a\.csv")


@pytest.mark.parametrize("name", ["a.parquet", "a.csv.gz", "a"])
def test_the_content_decides_and_not_the_ending(tmp_path: Path, name: str) -> None:
    assert len(table(tmp_path / name, ROWS)) == 5
    (tmp_path / name).write_bytes(b"PAR1" + ROWS.encode())
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        TableFile(path=tmp_path / name).load()


def test_a_folder_a_missing_path_and_no_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"needs data\.path"):
        TableFile().load()
    with pytest.raises(UserError, match="does not exist"):
        TableFile(path=tmp_path / "none.csv").load()
    with pytest.raises(UserError, match=str(tmp_path)):
        TableFile(path=tmp_path).load()


def test_histories_are_whole_numbers_of_32_bits(tmp_path: Path) -> None:
    assert table(tmp_path / "a.csv", ROWS).histories.values.dtype == np.int32
