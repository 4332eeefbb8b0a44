"""MovieLens from a local server, from folders, and the real copies where they are."""

import hashlib
import io
import logging
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from fedkd.data import movielens
from fedkd.data.interactions import Interactions
from fedkd.data.movielens import Archive, download
from fedkd.data.options import DataOptions, SplitOptions
from fedkd.data.sources import SOURCES, fetch, load
from fedkd.data.splits import split
from fedkd.errors import UserError

REAL = Path(__file__).parents[3] / "shared" / "data"

TINY_100K = {
    "u.data": "1\t2\t5\t20\n1\t1\t4\t10\n2\t2\t3\t5\n2\t3\t1\t5\n0\t1\t5\t1\n",
    "ua.test": "1\t1\t4\t10\n2\t3\t1\t5\n",
    "u.genre": "unknown|0\nDrama|1\n\n",
    "u.item": "1|Caf\xe9: one (1995)|d||u|0|1\n2|Two (1996)|d||u|1|0\n3|Three|d||u|1|1\n",
}
TINY_1M = {
    "ratings.dat": "1::20::5::200\n1::10::3::100\n2::20::4::300\n2::30::4::300\n",
    "movies.dat": "10::Star: a tale (1977)::Drama|War\n20::Caf\xe9 (1990)::Drama\n30::Last::Comedy\n",
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a folder on this machine: its address and the folder."""
    folder = tmp_path / "site"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


def archive(site: tuple[str, Path], files: dict[str, str], folder: str) -> Archive:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as out:
        for name, text in files.items():
            out.writestr(f"{folder}/{name}", text.encode("latin-1"))
    (site[1] / "tiny.zip").write_bytes(packed.getvalue())
    return Archive(f"{site[0]}/tiny.zip", hashlib.sha256(packed.getvalue()).hexdigest(), folder)


def unpacked(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="latin-1")
    return folder


def histories(data: Interactions) -> dict[str, list[str]]:
    return {user: data.catalogue.ids[data.histories[row]].tolist() for row, user in enumerate(data.users.tolist())}


def test_an_archive_is_downloaded_once_checked_and_unpacked(
    site: tuple[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny = archive(site, TINY_100K, "ml-100k")
    with caplog.at_level(logging.WARNING, "fedkd"):
        folder = download(tiny, tmp_path / "cache")
    assert "no redistribution" in caplog.text
    assert (folder / "u.data").read_text() == TINY_100K["u.data"]
    (site[1] / "tiny.zip").unlink()
    for kept in (tmp_path / "cache").glob("*.zip"):
        kept.unlink()
    assert download(tiny, tmp_path / "cache") == folder


def test_another_archive_under_the_name_is_refused(site: tuple[str, Path], tmp_path: Path) -> None:
    tiny = archive(site, TINY_100K, "ml-100k")
    for wrong in (Archive(tiny.url, "0" * 64, "ml-100k"), Archive(f"{site[0]}/none.zip", tiny.sha256, "ml-100k")):
        with pytest.raises(UserError, match=r"cannot be downloaded.*set data\.path"):
            download(wrong, tmp_path / "cache")
    assert not (tmp_path / "cache" / "ml-100k").exists()


def test_an_unpacked_folder_is_whole_or_absent(site: tuple[str, Path], tmp_path: Path) -> None:
    body = b"not a zip file"
    (site[1] / "tiny.zip").write_bytes(body)
    with pytest.raises(UserError, match="cannot be downloaded"):
        download(Archive(f"{site[0]}/tiny.zip", hashlib.sha256(body).hexdigest(), "ml-1m"), tmp_path)
    assert not (tmp_path / "ml-1m").exists()


def test_the_source_without_a_path_is_downloaded(
    site: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(movielens.ARCHIVES, "movielens-1m", archive(site, TINY_1M, "ml-1m"))
    monkeypatch.setattr(movielens.pooch, "os_cache", lambda name: tmp_path / name)
    loaded = load(DataOptions(source="movielens-1m"))
    assert histories(loaded.interactions) == {"1": ["10", "20"], "2": ["20", "30"]}


def test_there_is_nothing_to_download_for_others() -> None:
    with pytest.raises(UserError, match="allowed: movielens-100k, movielens-1m"):
        fetch("table")


def test_100k_has_content_official_split_and_no_user_0(tmp_path: Path) -> None:
    unpacked(tmp_path / "ml-100k", TINY_100K)
    loaded = load(DataOptions(source="movielens-100k", path=tmp_path))
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
    loaded = load(DataOptions(source="movielens-1m", path=folder, min_rating=4))
    assert histories(loaded.interactions) == {"2": ["20", "30"]}
    assert loaded.dropped == {"rating below 4": 1, "user with fewer than 2 interactions": 1}
    assert loaded.interactions.catalogue.titles is not None
    assert loaded.interactions.catalogue.titles.tolist() == ["Café (1990)", "Last"]


def test_1m_with_order_alone_has_no_times_and_no_ratings(tmp_path: Path) -> None:
    files = {"interactions.csv": "user_id,item_id,position\n1,10,1\n1,20,0\n2,30,0\n2,10,1\n"}
    folder = unpacked(tmp_path / "m", files | {"movies.dat": TINY_1M["movies.dat"]})
    loaded = load(DataOptions(source="movielens-1m", path=folder))
    assert histories(loaded.interactions) == {"1": ["20", "10"], "2": ["30", "10"]}
    assert loaded.interactions.times is None
    with pytest.raises(UserError, match="no ratings"):
        load(DataOptions(source="movielens-1m", path=folder, min_rating=4))


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
        load(DataOptions.model_validate({"source": source, "path": folder}))


def test_every_source_is_named_and_synthetic_has_no_ratings() -> None:
    assert set(SOURCES) == set(get_args(DataOptions.model_fields["source"].annotation))
    with pytest.raises(UserError, match="synthetic data has no ratings"):
        load(DataOptions(min_rating=3))


def real(name: str) -> Path:
    if not (REAL / name).is_dir():
        pytest.skip(f"the MovieLens files are not in {REAL / name}")
    return REAL / name


@pytest.mark.realdata
def test_the_real_100k() -> None:
    loaded = load(DataOptions(source="movielens-100k", path=real("ml-100k")))
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
    data = load(DataOptions(source="movielens-1m", path=real("ml-1m"))).interactions
    assert (data.num_users, data.num_items, len(data)) == (6040, 3416, 999_611)
    row = {user: position for position, user in enumerate(data.users.tolist())}
    order = pd.read_csv(real("ml-1m") / "interactions.csv", dtype=str)["user_id"].unique()
    ordered = data.histories.take(np.array([row[user] for user in order]))
    number = pd.factorize(ordered.values)[0] + 1
    lines = zip((ordered.row_index + 1).tolist(), number.tolist(), strict=True)
    text = "".join(f"{user} {item}\n" for user, item in lines).encode()
    expected = "b725f3acb3986fe3130bffd1e77a74d182a1f51799567a236dbd60270f95b0a2"
    assert hashlib.sha256(text).hexdigest() == expected
