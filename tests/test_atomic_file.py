import errno
import os
import stat
from pathlib import Path

import pytest

from fedkd.atomic_file import naming, replace_file, replacing


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_file_is_replaced_whole_and_the_disk_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(stat.S_ISDIR(os.fstat(number).st_mode)))
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    replace_file(path, b"new", mode)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert synced == [False, True], "the file, and then its name in the folder"
    assert list(tmp_path.iterdir()) == [path]


def test_death_before_the_new_file_is_whole_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("synced", [True, False])
def test_what_another_writer_wrote_replaces_a_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: bool
) -> None:
    waited: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda number: waited.append(stat.S_ISDIR(os.fstat(number).st_mode)))
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path, synced) as new:
        new.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert waited == ([False, True] if synced else [])
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="full"), replacing(path) as new:
        fail_half_way(new)
    assert path.read_bytes() == b"old"


def fail_half_way(path: Path) -> None:
    path.write_bytes(b"ne")
    raise OSError("full")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_names_the_file_and_leaves_nothing_beside_it(tmp_path: Path, error: Exception) -> None:
    def fill() -> None:
        with replacing(tmp_path / "state") as new:
            new.write_bytes(b"half of it")
            raise error

    with pytest.raises(OSError, match="No space left on device") as found:
        fill()
    assert found.value.filename == str(tmp_path / "state")
    assert not list(tmp_path.iterdir())


def test_another_error_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), naming(tmp_path):
        raise ZeroDivisionError
