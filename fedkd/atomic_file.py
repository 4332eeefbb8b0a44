"""Files that must survive sudden death: written beside the old one, synced to the disk, then renamed over it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def replace_file(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a small file so that sudden death leaves the old one or the new one, on disk.

    Parameters
    ----------
    path : Path
        The file; its folder exists.
    data : bytes
        All that it holds then.
    mode : int
        The rights of the new file, before the process's umask.
    """
    with replacing(path) as new, os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)


@contextmanager
def replacing(path: Path, synced: bool = True) -> Iterator[Path]:
    """Yield the path at which a new file must be written; in the end it replaces the old one, after an error not.

    Parameters
    ----------
    path : Path
        The file; its folder exists.
    synced : bool
        Whether to wait for the disk, which takes milliseconds. Without it the file survives the death of the process,
        but not that of the machine.
    """
    new = path.with_name(path.name + ".new")
    try:
        with naming(path):
            yield new
            if synced:
                _sync(new)
            os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    if synced:
        _sync(path.parent)  # without this the renamed file may be the old one again after a crash


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the disk name the file that was being written; some libraries tell of it in words alone."""
    try:
        yield
    except Exception as error:
        code = getattr(error, "errno", None) or _code(str(error))
        if code is None or getattr(error, "filename", None) is not None:
            raise
        raise OSError(code, os.strerror(code), str(path)) from None


def _code(text: str) -> int | None:
    found = re.search(r"\(os error (\d+)\)", text)
    return int(found[1]) if found else None


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
