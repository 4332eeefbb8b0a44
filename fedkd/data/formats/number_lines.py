"""Lines of whole numbers between blanks or tabs: what LightGCN, SASRec and their descendants write."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedkd.data.formats.forms import Form, Head
from fedkd.data.formats.opening import lines, refused
from fedkd.errors import UserError

ONE = rb"(?:0|-?[1-9][0-9]{0,17})"
LINE = re.compile(rb"[ \t]*" + ONE + rb"(?:[ \t]+" + ONE + rb")*[ \t]*")
"""Whole numbers as a program writes them; 007 would be another id than 7."""
Ints = NDArray[np.int64]
NO_ITEM = "user without items: their line names none"


def number_lines(path: Path) -> Iterator[tuple[int, Ints]]:
    """Yield the number of every line and the whole numbers in it.

    Raises
    ------
    UserError
        A line holds something else.
    """
    for number, line in lines(path):
        if not LINE.fullmatch(line):
            raise refused(path, number, "holds something else than whole numbers between blanks")
        yield number, np.array(line.split(), np.int64)


def shapes(head: Head) -> list[list[str]]:
    """Return the fields of the first lines, none where one of them holds something else than whole numbers."""
    if not all(LINE.fullmatch(line.encode()) for line in head.lines):
        return []
    return [line.split() for line in head.lines]


@dataclass(frozen=True)
class UserLines(Form):
    """A user's number and the user's items in a line, every user once."""

    def fits(self, head: Head) -> bool:
        """Say whether lines have many lengths, and no user comes again."""
        found = shapes(head)
        users = [line[0] for line in found]
        return bool(found) and len(set(users)) == len(users) and max(map(len, found)) > 2

    def read(self, path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
        """Read a row per item; a user on several lines is refused unless all lines are pairs."""
        users, lengths, items = _columns(path)
        _, first, times = np.unique(users, return_index=True, return_counts=True)
        if len(first) < len(users) and lengths.max() > 1:
            raise UserError(
                f"{path}: {np.count_nonzero(times > 1):,} users come on several lines, and here each has one; {SEVERAL}"
            )
        empty = int(np.count_nonzero(lengths == 0))
        frame = pd.DataFrame({"user": np.repeat(users, lengths), "item": items})
        return frame, {NO_ITEM: empty} if empty else {}


SEVERAL = (
    "where a line is one interaction or a history without its user, another data.source reads it: "
    "`fedkd data guess` says which"
)


def _columns(path: Path) -> tuple[Ints, Ints, Ints]:
    """Return the first number of every line, how many follow, and all that follow."""
    found = [numbers for _, numbers in number_lines(path)]
    users = np.array([numbers[0] for numbers in found])
    lengths = np.array([len(numbers) - 1 for numbers in found])
    return users, lengths, np.concatenate([numbers[1:] for numbers in found])


@dataclass(frozen=True)
class Histories(Form):
    """The items of one user a line, oldest first; the number of the line stands for the user."""

    def fits(self, head: Head) -> bool:
        """Say whether there are lines of whole numbers."""
        return bool(shapes(head))

    def read(self, path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
        """Read a row per item."""
        found = [numbers for _, numbers in number_lines(path)]
        lengths = [len(numbers) for numbers in found]
        return pd.DataFrame({"user": np.repeat(np.arange(len(found)), lengths), "item": np.concatenate(found)}), {}
