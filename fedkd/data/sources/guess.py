"""What a file may be, and the configuration that reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any


class Sure(IntEnum):
    """How sure a guess is."""

    POSSIBLY = 1
    PROBABLY = 2
    CERTAINLY = 3


@dataclass(frozen=True)
class Guess:
    """A source that can read a file or folder.

    Attributes
    ----------
    source : str
        Its name.
    sure : Sure
        How sure that is.
    path : Path
        The file or folder.
    files : tuple of Path
        The files that are read, those with content too.
    settings : mapping of str to object
        Options of the source besides its path, by key.
    """

    source: str
    sure: Sure
    path: Path
    files: tuple[Path, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
