"""Archives from a local server: downloaded once, checked, unpacked."""

import hashlib
import io
import logging
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from fedkd.data.sources.archive import Archive
from fedkd.data.sources.movielens import LICENCE
from fedkd.data.sources.movielens_1m import MovieLens1M
from fedkd.data.sources.table_file import TableFile
from fedkd.errors import UserError
from tests.data.sources.tiny import TINY_1M, TINY_100K, histories


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


def test_an_archive_is_downloaded_once_checked_and_unpacked(
    site: tuple[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny = archive(site, TINY_100K, "ml-100k")
    with caplog.at_level(logging.WARNING, "fedkd"):
        folder = tiny.download(LICENCE, tmp_path / "cache")
    assert "no redistribution" in caplog.text
    assert (folder / "u.data").read_text() == TINY_100K["u.data"]
    (site[1] / "tiny.zip").unlink()
    for kept in (tmp_path / "cache").glob("*.zip"):
        kept.unlink()
    assert tiny.download(LICENCE, tmp_path / "cache") == folder


def test_another_archive_under_the_name_is_refused(site: tuple[str, Path], tmp_path: Path) -> None:
    tiny = archive(site, TINY_100K, "ml-100k")
    for wrong in (Archive(tiny.url, "0" * 64, "ml-100k"), Archive(f"{site[0]}/none.zip", tiny.sha256, "ml-100k")):
        with pytest.raises(UserError, match=r"cannot be downloaded.*set data\.path"):
            wrong.download(LICENCE, tmp_path / "cache")
    assert not (tmp_path / "cache" / "ml-100k").exists()


def test_an_unpacked_folder_is_whole_or_absent(site: tuple[str, Path], tmp_path: Path) -> None:
    body = b"not a zip file"
    (site[1] / "tiny.zip").write_bytes(body)
    with pytest.raises(UserError, match="cannot be downloaded"):
        Archive(f"{site[0]}/tiny.zip", hashlib.sha256(body).hexdigest(), "ml-1m").download(LICENCE, tmp_path)
    assert not (tmp_path / "ml-1m").exists()


def test_the_source_without_a_path_is_downloaded(
    site: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MovieLens1M, "archive", archive(site, TINY_1M, "ml-1m"))
    monkeypatch.setattr("fedkd.data.sources.archive.pooch.os_cache", lambda name: tmp_path / name)
    loaded = MovieLens1M().load()
    assert histories(loaded.interactions) == {"1": ["10", "20"], "2": ["20", "30"]}


def test_a_source_without_an_archive_needs_no_download() -> None:
    with pytest.raises(UserError, match="table needs no download"):
        TableFile.fetch()
