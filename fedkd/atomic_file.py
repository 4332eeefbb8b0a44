"""Files that must survive sudden death: written beside the old one, synced to the disk, then renamed over it."""

import os
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
    yield new
    if synced:
        _sync(new)
    os.replace(new, path)
    if synced:
        _sync(path.parent)  # without this the renamed file may be the old one again after a crash


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
