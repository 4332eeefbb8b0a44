"""The sources of the package against the suite of checks, and the suite against sources that are wrong."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from fedkd.data.catalogue import Catalogue
from fedkd.data.cleaning import Raw
from fedkd.data.formats.lightgcn import LightGCN
from fedkd.data.interactions import Interactions
from fedkd.data.sources.base import Loaded, Source
from fedkd.data.sources.check_ins import CheckInOptions, CheckIns
from fedkd.data.sources.movielens_1m import MovieLens1M
from fedkd.data.sources.movielens_100k import MovieLens100K
from fedkd.data.sources.scene import Scene, SceneOptions
from fedkd.data.sources.synthetic import Synthetic, SyntheticOptions
from fedkd.data.sources.table import SOURCES
from fedkd.data.sources.table_file import TableFile
from fedkd.ragged import Ragged
from fedkd.testing.sources import check_catalogue, check_histories, check_repeatable, check_source, check_times
from tests.data.formats.samples import SAMPLES
from tests.data.sources.tiny import TINY_1M, TINY_100K, unpacked

TABLE = """user,item,at,stars,shop,year
u,a,3,5,north,1990
u,b,1,4,south,
v,a,2,3,south,1991
v,b,2,5,south,soon
u,a,9,1,north,1990
,a,1,1,north,1990
w,c,soon,1,north,1990
x,c,4,2,north,1990
"""


def table(folder: Path) -> TableFile:
    (folder / "a.csv").write_text(TABLE)
    columns = {"time_column": "at", "rating_column": "stars", "group_column": "shop", "year_column": "year"}
    return TableFile.model_validate({"path": folder / "a.csv", "min_rating": 3, **columns})


def lightgcn(folder: Path) -> LightGCN:
    (folder / "train.txt").write_text("0 5 3\n1 3 4 9\n\n")
    (folder / "test.txt").write_text("0 9\n1 5\n2\n")
    return LightGCN(path=folder)


def case(name: str, folder: Path) -> tuple[Source, int]:
    """Return a source with its data, and how many rows these are."""
    if name == "table":
        return table(folder), 8
    if name == "lightgcn":
        return lightgcn(folder), 7
    source: Source
    if name == "synthetic":
        source = Synthetic(synthetic=SyntheticOptions(users=20, items=30, mean_history=6))
        return source, len(source.load().interactions)
    if name == "check-ins":
        source = CheckIns(check_ins=CheckInOptions(users=20, items=40, mean_history=6))
        return source, len(source.load().interactions)
    if name == "scene":
        source = Scene(scene=SceneOptions(users=20, items=40, mean_history=6))
        return source, len(source.load().interactions)
    if name == "movielens-1m":
        return MovieLens1M(path=unpacked(folder / "films", TINY_1M)), 4
    return MovieLens100K(path=unpacked(folder / "films", TINY_100K)), 5


CASES = ("synthetic", "check-ins", "scene", "movielens-100k", "movielens-1m", "lightgcn", "table")


@pytest.mark.parametrize("name", CASES)
def test_every_source_of_the_package_keeps_the_contract(name: str, tmp_path: Path) -> None:
    check_source(*case(name, tmp_path))


def test_no_source_of_the_package_is_left_out() -> None:
    assert {*CASES, *(sample.source for sample in SAMPLES)} == {*SOURCES.names}


class Rows(Source):
    """A source that is right or wrong in a chosen way."""

    fault: str = ""

    def read(self) -> Raw:
        rows = pd.DataFrame({"user": ["u", "u", "v", "v"], "item": ["a", "b", "a", "b"], "time": [1, 2, 3, 4]})
        if self.fault == "chance":
            rows["time"] = np.random.default_rng().integers(10**9, size=4)
        parts = {"lost": [rows[:-1]], "twice": [rows, rows[:1]]}.get(self.fault, [rows])
        return Raw(pd.concat(parts), dropped={"broken": 1} if self.fault == "told" else {})


class Forgetful(Rows):
    """A source that counts fewer rows than it drops."""

    def load(self) -> Loaded:
        return replace(super().load(), dropped={})


def test_a_source_of_ones_own_is_checked_alike() -> None:
    assert len(check_source(Rows(), 4).interactions) == 4  # type: ignore[call-arg]
    check_source(Rows(fault="told"), 5)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("given", "rows", "message"),
    [
        ({"fault": "chance"}, None, "differ when they are loaded again"),
        ({"fault": "lost", "min_user_interactions": 1}, 4, "of 4 rows, 3 were returned and 0 counted"),
    ],
)
def test_what_is_wrong_with_a_source_is_said(given: Mapping[str, object], rows: int | None, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_source(Rows.model_validate(given), rows)


def test_rows_that_are_dropped_in_silence_are_found() -> None:
    with pytest.raises(AssertionError, match="5 rows were cleaned, 4 kept and 0 counted"):
        check_source(Forgetful.model_validate({"fault": "twice"}))


def made(items: list[int], times: list[int] | None = None, ids: tuple[str, ...] = ("a", "b")) -> Interactions:
    histories = Ragged(np.array(items, np.int32), np.array([0, 2, len(items)]))
    at: NDArray[np.int64] | None = None if times is None else np.array(times)
    return Interactions(np.array(["u", "v"]), histories, Catalogue(np.array(ids)), at)


def test_faults_of_interactions_are_found() -> None:
    check_histories(made([0, 1, 1]))
    for items, message in (([0, 0, 1], "item twice"), ([0, 2, 1], "catalogue does not have")):
        with pytest.raises(AssertionError, match=message):
            check_histories(made(items))
    with pytest.raises(AssertionError, match="order of its times"):
        check_times(made([0, 1, 1], [2, 1, 1]))
    with pytest.raises(AssertionError, match="two items have one id"):
        check_catalogue(made([0, 1, 1], ids=("a", "a")))
    kept = Loaded(made([0, 1, 1], [1, 2, 3]), {}, "", "")
    with pytest.raises(AssertionError, match="times, groups or content"):
        check_repeatable(kept, replace(kept, interactions=made([0, 1, 1], [1, 2, 4])))
