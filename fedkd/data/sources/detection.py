"""The untold part of a text table's layout, from its first lines; of two possible readings the user chooses."""

import codecs
import csv
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fedkd.data.sources.compressed import check_text, compression, opened
from fedkd.data.sources.delimited import codec
from fedkd.data.sources.header import looks_like_data
from fedkd.data.sources.records import BLANKS, Layout, Quoting
from fedkd.errors import UserError

HEAD = 1 << 16
"""Bytes that are looked at."""
SAMPLE = 100
"""Lines that are looked at."""
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""The encodings that begin with a mark; that of UTF-32 begins with that of UTF-16."""
SEPARATORS = {"\t": "tab", "::": "double colon", ";": "semicolon", ",": "comma", "|": "bar"}
"""Separators that are looked for, with their names; blanks count where none of these does."""
PLAIN = {**SEPARATORS, BLANKS: "blanks"}


@dataclass(frozen=True)
class Stated:
    """The user's description of a text table; what is empty is detected.

    Attributes
    ----------
    columns : mapping of str to str
        Columns by role: names, or positions where there is no header.
    separator, encoding, quoting : str
        As of ``Layout``.
    header : bool, optional
        Whether the first line names the columns.
    """

    columns: Mapping[str, str]
    separator: str = ""
    encoding: str = ""
    quoting: Quoting = ""
    header: bool | None = None


def layout_of(path: Path, stated: Stated) -> tuple[Layout, str]:
    """Return the form of a text table, and the words for it.

    Raises
    ------
    UserError
        The file is no text table, or several forms are possible; the message names the key that decides.
    """
    with opened(path) as stream:
        head = stream.read(HEAD)
    _check(path, head)
    encoding = codec(stated.encoding or next((name for mark, name in MARKS.items() if head.startswith(mark)), "utf-8"))
    lines = _lines(head, encoding)
    if not lines:
        raise UserError(f"{path} is empty: it holds no line of text")
    if lines[0].lstrip()[:1] in ("{", "["):
        raise UserError(
            f"{path} seems to hold JSON, not a text table; `fedkd data guess {path}` says which data.source reads it"
        )
    separator = stated.separator or _separator(path, lines, stated)
    quoting: Quoting = stated.quoting or ("double" if separator == "\t" and _all_quoted(lines[0]) else "")
    form = Layout({}, separator, stated.header is not False, encoding, quoting)
    rows = list(_rows(lines, form))
    if stated.header is None and rows and looks_like_data(rows[0], rows[1:]):
        raise UserError(
            f"{path}: its first line looks like data, not like names of columns; set data.header=false and the columns "
            "by position, such as data.user-column=0, or data.header=true if the line does name them"
        )
    columns = dict(stated.columns) if form.header else _positions(stated.columns)
    return Layout(columns, separator, form.header, encoding, quoting), _words(path, form)


def _check(path: Path, head: bytes) -> None:
    if not head:
        raise UserError(f"{path} is empty")
    if not head.strip(b"\0"):
        raise UserError(f"{path} holds zero bytes alone; it is damaged: fetch it anew")
    check_text(path, head)


def _lines(head: bytes, encoding: str) -> list[str]:
    """Return whole lines, without blank ones; what cannot be decoded is found when the file is read."""
    text = head.decode("utf-8-sig" if encoding == "utf-8" else encoding, errors="replace")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    whole = lines[:-1] if len(head) == HEAD and len(lines) > 1 else lines
    return [f"{line}\n" for line in whole if line.strip()][:SAMPLE]


def _rows(lines: list[str], layout: Layout) -> Iterator[list[str]]:
    """Yield the rows of some lines as far as they can be split; faults are found when the file is read."""
    if not layout.quoted:
        yield from map(layout.split, lines)
        return
    with suppress(csv.Error):
        yield from csv.reader(lines, delimiter=layout.separator, skipinitialspace=True)


def _all_quoted(line: str) -> bool:
    return all(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in line.strip().split("\t"))


def _separator(path: Path, lines: list[str], stated: Stated) -> str:
    """Return the separator that finds the wanted columns, or else gives every line as many fields."""
    split = {
        each: list(_rows(lines, Layout({}, each))) for each in PLAIN if each.strip(" ") in lines[0] or each == BLANKS
    }
    wanted = set(stated.columns.values())
    named = [each for each, rows in split.items() if rows and wanted <= {cell.strip(' "\n') for cell in rows[0]}]
    if stated.header is not False and len(named) == 1:
        return named[0]
    even = [each for each, rows in split.items() if rows and {len(row) for row in rows} == {max(2, len(rows[0]))}]
    found = [each for each in even if each != BLANKS] or even
    if stated.header is False and len(found) > 1:
        raise UserError(
            f"{path}: its lines can be split by {' or '.join(PLAIN[each] for each in found)}; set data.separator"
        )
    counts = {each: lines[0].count(each) for each in found or SEPARATORS}
    if any(counts.values()):
        return max(counts, key=counts.__getitem__)
    raise UserError(f"{path}: only one column was found; set data.separator ({', '.join(PLAIN.values())} are detected)")


def _positions(columns: Mapping[str, str]) -> dict[str, str | int]:
    for role, column in columns.items():
        if not column.isdecimal():
            raise UserError(
                f"data.header=false needs positions of columns, from 0, and data.{role}-column is {column!r}; for "
                f"example data.{role}-column=0"
            )
    return {role: int(column) for role, column in columns.items()}


def _words(path: Path, layout: Layout) -> str:
    packed = compression(path)
    return ", ".join(
        (
            *([packed] if packed else []),
            f"separated by {PLAIN.get(layout.separator, repr(layout.separator))}",
            f"columns {'named in the first line' if layout.header else 'by position'}",
            layout.encoding,
            f"quotation marks {'surround fields' if layout.quoted else 'are text'}",
        )
    )
