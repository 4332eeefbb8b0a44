"""The forms of the files of a published format, and how each is read."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

import pandas as pd

from fedkd.data.formats.json_lines import Object, objects
from fedkd.data.formats.opening import lines

HEAD = 200
"""Lines by which a file is recognised."""
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
INSIDE = "\x1f"
"""Between the categories of one item."""


@dataclass(frozen=True)
class Head:
    """The first lines of a file, by which its format is recognised.

    Attributes
    ----------
    path : Path
        The file.
    """

    path: Path

    @property
    def name(self) -> str:
        """The file's name without the ending of a compression."""
        return bare_name(self.path)

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The first lines, as text; a byte that is not UTF-8 counts as latin-1."""
        return tuple(decoded(line) for _, line in islice(lines(self.path), HEAD))

    @cached_property
    def objects(self) -> tuple[Object, ...]:
        """The objects of the first lines, none where they are no objects."""
        if not self.lines or not self.lines[0].lstrip().startswith("{"):
            return ()
        return tuple(found for _, found in islice(objects(self.path), HEAD))


def decoded(line: bytes) -> str:
    """Return a line as text; one that is not UTF-8 is read as latin-1."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def bare_name(path: Path) -> str:
    """Return a file's name without the ending of a compression."""
    return path.stem if path.suffix in PACKED else path.name


class Form(ABC):
    """The form of a kind of file."""

    @abstractmethod
    def fits(self, head: Head) -> bool:
        """Say whether a file may be of this form, by its first lines."""

    @abstractmethod
    def read(self, path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
        """Return one text column a role, in the order of the file, and what was left out.

        Raises
        ------
        UserError
            A line is of another form; the message has its number and nothing of it.
        """


@dataclass(frozen=True)
class Part:
    """Files of one form in the folder of a format.

    Attributes
    ----------
    names : tuple of str
        Patterns of their names, without the ending of a compression, in the order in which they are read; there must
        be a file of the first. None at all where a folder says nothing of its files.
    form : Form
        How they are read.
    test : str
        Pattern of those whose rows are the official test part.
    time : str
        ``s`` or ``ms`` for numbers, a format with percent signs, or empty for what is told apart by itself.
    several : bool
        Whether a name may stand for several files.
    alone : bool
        Whether their items have other ids than the files with content.
    telling : bool
        Whether hardly any other file has this form.
    """

    names: tuple[str, ...]
    form: Form
    test: str = ""
    time: str = ""
    several: bool = False
    alone: bool = False
    telling: bool = True

    def files(self, folder: Path) -> list[Path]:
        """Return the files of a folder that have these names, none if the first name has no file."""
        there = sorted(path for path in folder.iterdir() if path.is_file())
        found = [[path for path in there if fnmatch(bare_name(path), name)] for name in self.names]
        return list(dict.fromkeys(chain(*found))) if found and found[0] else []

    def is_test(self, path: Path) -> bool:
        """Say whether a file holds the official test part."""
        return fnmatch(bare_name(path), self.test)

    def is_named(self, path: Path) -> bool:
        """Say whether a file has one of these names."""
        return any(fnmatch(bare_name(path), name) for name in self.names)

    def fits(self, files: Sequence[Path]) -> bool:
        """Say whether files may be of this form: one of them, since the others may be damaged."""
        return any(self.form.fits(Head(file)) for file in files)
