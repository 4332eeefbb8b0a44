"""The resources of this machine: free memory and disk, and the most memory that this process has taken."""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

ARRAYS_BYTES = 12 * 10**9
"""The most that one run takes for its largest arrays, however much is free: a small machine must bear a run."""

CONTROL_GROUP = Path("/sys/fs/cgroup")
LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Files with the limit of a process's group and what the group uses, in both versions of Linux's control groups."""


def available_memory() -> int:
    """Return the bytes that this process may still take: what is free, within the limits of its group and its own."""
    return max(0, min((int(psutil.virtual_memory().available), *_limits())))


def room_for_arrays() -> int:
    """Return the bytes that arrays may take whose size grows with the square of the catalogue."""
    return min(ARRAYS_BYTES, available_memory())


def peak_memory() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def resident_memory() -> int:
    """Return the resident memory of this process now, in bytes."""
    return int(psutil.Process().memory_info().rss)


def existing(path: Path) -> Path:
    """Return a path, or the nearest folder above it that exists."""
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())


def free_disk(path: Path) -> int:
    """Return the bytes that are free for this user where a folder is, or will be made."""
    return int(psutil.disk_usage(str(existing(path))).free)


def disk_usage(folder: Path) -> int:
    """Return the bytes that a folder takes of the disk, in whole blocks."""
    return sum(path.lstat().st_blocks * 512 for path in (folder, *folder.rglob("*")))


def _limits() -> Iterator[int]:
    """Yield what is left within each limit that somebody has set."""
    for limit, used in LIMITS:
        most, now = _number(CONTROL_GROUP / limit), _number(CONTROL_GROUP / used)
        if most is not None and now is not None:
            yield most - now
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most != resource.RLIM_INFINITY:
        yield most - int(psutil.Process().memory_info().vms)


def _number(path: Path) -> int | None:
    """Return the number in a file; None if there is no such file, or a word such as ``max``."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
