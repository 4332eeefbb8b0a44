"""The lines of a text table as rows of fields: one careful reader, which refuses what it does not understand."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedkd.errors import UserError

Quoting = Literal["", "double", "backslash", "none"]
BLANKS = " "
"""The separator that stands for any run of blanks and tabs."""


@dataclass(frozen=True)
class Layout:
    r"""The form of a text table.

    Attributes
    ----------
    columns : mapping of str to str or int
        The wanted columns by role (``user``, ``item``, ``time``, ``title``, ...): a name in the header, or a position
        from 0.
    separator : str
        One character or several, such as ``::``; one blank stands for any run of blanks and tabs.
    header : bool
        Whether the first line names the columns.
    encoding : str
        As Python calls it; ``utf-8`` may begin with a byte order mark.
    quoting : str
        How fields are quoted that hold a separator: ``double`` (``"`` around them, ``""`` for one inside),
        ``backslash`` (``\"`` for one inside), ``none`` (a quotation mark is text). Empty: none for tabs, blanks and
        separators of several characters, else double, and a row of several lines that may also be several rows is
        refused.

    Raises
    ------
    UserError
        Separator and quoting cannot be used, or not together.
    """

    columns: Mapping[str, str | int]
    separator: str = ","
    header: bool = True
    encoding: str = "utf-8"
    quoting: Quoting = ""

    def __post_init__(self) -> None:
        """Refuse what no line can be split by."""
        if not self.separator or re.search(r'["\\\w\r\n]', self.separator):
            raise UserError(
                f"data.separator is {self.separator!r}; allowed are characters that are no letter, digit, quotation "
                "mark, backslash or line end, and one blank for any run of blanks"
            )
        if self.quoting in ("double", "backslash") and (len(self.separator) > 1 or self.separator == BLANKS):
            raise UserError(
                f"data.quoting={self.quoting} needs a separator of one character that is no blank, and it is "
                f"{self.separator!r}; set data.quoting=none or data.separator"
            )

    @property
    def quoted(self) -> bool:
        """Whether quotation marks may surround fields."""
        return self.quoting in ("double", "backslash") or (
            not self.quoting and len(self.separator) == 1 and self.separator not in "\t "
        )

    def split(self, line: str) -> list[str]:
        """Return the fields of a line whose quotation marks mean nothing."""
        return line.split() if self.separator == BLANKS else line.rstrip("\n").split(self.separator)


class Records:
    """The records of lines, a list of fields each; blank lines are counted and left out.

    Parameters
    ----------
    lines : iterator of str
        Lines with their ends.
    layout : Layout
        How they are separated and quoted.
    path : Path
        The file, for messages, which name lines and never show them.
    line : int
        Lines of the file before these.

    Attributes
    ----------
    line : int
        Lines of the file that have been read.
    begun : int
        The line at which the last record begins.
    blank, surplus : int
        Blank lines, and rows with empty surplus fields, so far.
    """

    def __init__(self, lines: Iterator[str], layout: Layout, path: Path, line: int = 0) -> None:
        self.path, self.layout = path, layout
        self.line, self.begun, self.blank, self.surplus = line, line, 0, 0
        self._seen: list[str] = []
        self._fields = self._split(self._noted(lines))

    def _noted(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self.line += 1
            if "\0" in line:
                raise UserError(
                    f"{self.path}, line {self.line} holds a zero byte: the file is damaged, no text, or in another "
                    "encoding; if it is UTF-16 set data.encoding=utf-16"
                )
            self._seen.append(line)
            yield line

    def _split(self, lines: Iterator[str]) -> Iterator[list[str]]:
        if not self.layout.quoted:
            return map(self.layout.split, lines)
        escape = "\\" if self.layout.quoting == "backslash" else None
        return csv.reader(lines, delimiter=self.layout.separator, strict=True, escapechar=escape, skipinitialspace=True)

    def next(self) -> list[str] | None:
        """Return the next record that is not blank; None behind the last one.

        Raises
        ------
        UserError
            A quotation mark is not closed, or a zero byte stands in a line.
        """
        while True:
            self._seen.clear()
            self.begun = self.line + 1
            try:
                fields = next(self._fields, None)
            except csv.Error:
                raise self.refusal(
                    "has a quotation mark that is not closed, or is closed before the field ends",
                    'where quotation marks are part of the text set data.quoting=none, where \\" stands for one inside '
                    "a quoted field data.quoting=backslash",
                ) from None
            if fields is None or len(fields) > 1 or "".join(fields).strip():
                return fields
            self.blank += 1

    def row(self, width: int, header: bool) -> list[str] | None:
        """Return the next record, which must have a number of fields; empty surplus ones are counted and cut.

        Raises
        ------
        UserError
            It has another number of fields, or it is several lines that could be rows of their own.
        """
        fields = self.next()
        if fields is None:
            return None
        if len(fields) < width or any(text.strip() for text in fields[width:]):
            raise self.refusal(
                f"has {len(fields)} fields, and the {'header' if header else 'first row'} has {width}",
                "a separator inside a field must be quoted; check data.separator and data.quoting, or mend the line",
            )
        if len(fields) > width:
            self.surplus += 1
        self._check_lines(width)
        return fields[:width]

    def _check_lines(self, width: int) -> None:
        """Refuse a quoted field of several lines where each line could be a row."""
        several = len(self._seen) > 1 and not self.layout.quoting
        if several and all(len(self.layout.split(line)) == width for line in self._seen):
            raise self.refusal(
                f"begins a quoted field that ends in line {self.line}, and each of these lines could be a row too",
                "set data.quoting=none if quotation marks are part of the text, data.quoting=double if they surround "
                "fields",
            )

    def refusal(self, what: str, mend: str) -> UserError:
        """Return the error about the last record."""
        return UserError(f"{self.path}, line {self.begun} {what}; {mend}")
