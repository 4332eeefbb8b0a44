"""Parquet: types as the file has them, an index of pandas as a column, and no value in a message."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from fedkd.data.sources.base import Loaded
from fedkd.data.sources.table_file import TableFile
from fedkd.errors import UserError

FRAME = pd.DataFrame({"user": ["u", "u", "v", "v"], "item": ["NA", "x", "x", "null"], "at": [4, 3, 1, 0]})


def loaded(folder: Path, frame: pd.DataFrame | pa.Table, **given: object) -> Loaded:
    path = folder / "rows"
    if isinstance(frame, pd.DataFrame):
        frame.to_parquet(path)
    else:
        parquet.write_table(frame, path)
    return TableFile.model_validate({"path": path, **given}).cleaned()


@pytest.mark.parametrize("index", [["user", "item"], ["user"], ["at"], None])
def test_an_index_of_pandas_is_a_column(tmp_path: Path, index: list[str] | None) -> None:
    found = loaded(tmp_path, FRAME.set_index(index) if index else FRAME, time_column="at")
    assert found.how == "Parquet, times as seconds"
    assert found.interactions.catalogue.ids.tolist() == ["NA", "null", "x"]
    assert found.interactions.times is not None
    assert found.interactions.times.tolist() == [3, 4, 0, 1]


COLUMNS: dict[str, tuple[Any, list[str]]] = {
    "int64": (pa.array([7, 7, -8, -8]), ["-8", "7"]),
    "uint64": (pa.array([2**64 - 1, 2**64 - 1, 1, 1], pa.uint64()), ["1", str(2**64 - 1)]),
    "float64": (pa.array([7.0, 7.0, 10.0, 10.0]), ["7", "10"]),
    "large_string": (pa.array(["a", " a ", "NA", "NA"], pa.large_string()), ["NA", "a"]),
    "dictionary": (pa.array(["b", "b", "a", "a"]).dictionary_encode(), ["a", "b"]),
    "binary": (pa.array([b"b", b"b", b"a", b"a"]), ["a", "b"]),
    "decimal": (pa.array([7, 7, 8, 8]).cast(pa.decimal128(20)), ["7", "8"]),
    "bool": (pa.array([True, True, False, False]), ["False", "True"]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_ids_of_every_type_are_read(tmp_path: Path, kind: str) -> None:
    column, users = COLUMNS[kind]
    found = loaded(tmp_path, pa.table({"user": column, "item": ["x", "y", "x", "y"]}))
    assert found.interactions.users.tolist() == users


def test_an_id_that_is_absent_or_empty_is_missing(tmp_path: Path) -> None:
    found = loaded(tmp_path, pd.DataFrame({"user": [1.0, 1, None, 1], "item": ["a", "b", "c", " "]}), largest_loss=1)
    assert found.dropped == {"missing user or item id": 2}


@pytest.mark.parametrize(
    "kind", [pa.timestamp("ns"), pa.timestamp("s"), pa.timestamp("us", "Europe/Berlin"), pa.date32()]
)
def test_times_of_every_type_are_read(tmp_path: Path, kind: Any) -> None:
    times = pa.array([86_400 * day for day in range(4)]).cast(pa.timestamp("s")).cast(kind)
    found = loaded(tmp_path, pa.table({"user": [1, 1, 2, 2], "item": [1, 2, 1, 2], "at": times}), time_column="at")
    assert found.interactions.times is not None
    assert found.interactions.times.tolist() == [0, 86_400, 172_800, 259_200]
    assert found.how == "Parquet, times as dates"


@pytest.mark.parametrize(
    ("columns", "given", "message"),
    [
        ({"user": [1, 2], "items": [3, 4]}, {}, r"no column 'item' .*'items'.*did you mean 'items'"),
        ({"user": [1, 2], "item": [[3], [4]]}, {}, r"column 'item' \(data\.item-column\) holds lists"),
        ({"user": [1, 2], "item": [3, 4]}, {"header": False, "user_column": 0}, "data.header=false is for text tables"),
        ({"user": pa.array([b"\xffzebra"] * 2), "item": [3, 4]}, {}, r"bytes that are no text \(data\.user-column\)"),
        ({"zebra": ["zebra", "b"], "item": [3, 4]}, {}, r"no column 'user'.* may be data.*pandas\.read_parquet"),
        ({"user": pa.array([], pa.string()), "item": pa.array([], pa.string())}, {}, "holds no row"),
    ],
)
def test_what_cannot_be_read_is_refused(
    tmp_path: Path, columns: dict[str, Any], given: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        loaded(tmp_path, pa.table(columns), **given)
    assert "zebra" not in str(caught.value)
