"""The log of feedback: JSON lines in a file of limited size, the older half of which goes."""

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FeedbackLog:
    """A file that lines are appended to, by several processes at once.

    Attributes
    ----------
    path : Path
        The file; ``.old`` after its name is the older half. Both are their owner's alone.
    most_bytes : int
        The most that both take together.
    """

    path: Path
    most_bytes: int

    def append(self, line: dict[str, Any]) -> None:
        """Add a line with the time; an ``OSError`` where the disk refuses."""
        # Two people may say the same at once, and equal lines count once: to the millisecond they were equal too often.
        content = json.dumps({"time": round(time.time(), 6), **line}).encode() + b"\n"
        with self._locked():
            if self._size() + len(content) > self.most_bytes // 2 and self.path.exists():
                os.replace(self.path, self._older)
            opened = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(opened, content)
            finally:
                os.close(opened)

    def files(self) -> list[Path]:
        """Return the files that there are, the older half first."""
        return [path for path in (self._older, self.path) if path.exists()]

    @property
    def _older(self) -> Path:
        return self.path.with_name(self.path.name + ".old")

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _locked(self) -> "_Lock":
        return _Lock(self.path.with_name(self.path.name + ".lock"))


class _Lock:
    """A file that one process holds at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        self.opened = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        fcntl.flock(self.opened, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self.opened)
