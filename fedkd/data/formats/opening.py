"""The lines of a file as bytes, whatever compresses it."""

from collections.abc import Iterator
from pathlib import Path

from fedkd.data.sources.compressed import opened
from fedkd.errors import UserError

LONGEST = 1 << 26
"""Most bytes of one line; a file with a longer one is no text."""
BOM = b"\xef\xbb\xbf"


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of every line that is not blank, in memory of a line.

    Raises
    ------
    UserError
        The file cannot be opened, ends too early, is empty, or has a line that no text has.
    """
    with opened(path) as file:
        number, empty = 0, True
        while line := file.readline(LONGEST):
            number += 1
            if len(line) == LONGEST:
                raise refused(path, number, f"is longer than {LONGEST >> 20} MiB")
            line = line.removeprefix(BOM) if number == 1 else line
            if b"\0" in line:
                raise refused(path, number, "holds a zero byte: it is damaged, no text, or not UTF-8")
            line = line.rstrip(b"\r\n")
            if b"\r" in line:
                raise refused(path, number, "has a carriage return inside; lines must end in a line feed")
            if line.strip():
                empty = False
                yield number, line
        if empty:
            raise UserError(f"{path} is empty: it holds no row")


def refused(path: Path, number: int, what: str) -> UserError:
    """Return the error of a line, which never shows the line."""
    return UserError(f"{path}, line {number:,} {what}; mend the line, or fetch the file anew")
