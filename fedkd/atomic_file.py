"""Small files that must survive sudden death."""

import os
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
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """See the names in a folder onto the disk: without this a renamed file may be the old one again after a crash."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
