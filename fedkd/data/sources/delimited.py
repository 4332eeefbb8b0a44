"""Text tables: read block by block, in little memory; every line becomes a row, or is counted, or is refused."""

import codecs
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from fedkd.data.sources.compressed import opened
from fedkd.data.sources.header import position
from fedkd.data.sources.records import BLANKS, Layout, Records
from fedkd.errors import UserError

__all__ = ["Delimited", "Layout", "read_delimited"]

BLOCK = 1 << 23
"""Characters that are read and parsed together."""
IDS = ("user", "item", "group", "profile")
"""Roles whose columns repeat few values: they become categories, the others text."""
SAMPLE = 100
"""Lines below the first that are looked at to tell names of columns from data."""
TEXT = pd.StringDtype("pyarrow")


@dataclass(frozen=True)
class Delimited:
    """The wanted columns of a text table, as text.

    Attributes
    ----------
    frame : DataFrame, shape [rows, roles]
        A column a role, without blanks around the text; an empty field is missing. Columns of users, items, groups
        and profiles are categories.
    lines : int
        Lines of the file.
    blank : int
        Lines among them that hold nothing; they are no rows.
    surplus : int
        Rows that end with more separators than the others; nothing stands behind these.
    """

    frame: pd.DataFrame
    lines: int
    blank: int
    surplus: int


def read_delimited(path: Path, layout: Layout) -> Delimited:
    """Read the wanted columns of a text table, which may be compressed.

    Parameters
    ----------
    path : Path
        The file.
    layout : Layout
        How its lines are separated and quoted, and which columns are wanted.

    Raises
    ------
    UserError
        The file is no text in this encoding, a column is missing, or a line is no row of as many fields as the first;
        the message names the line, and shows nothing of it but the names of columns.
    """
    with text_of(path, layout.encoding) as file:
        return _Table(path, layout, file).read()


@contextmanager
def text_of(path: Path, encoding: str) -> Iterator[TextIO]:
    """Open a file as text, whose lines all end with a line feed; a ``UserError`` names a line that is not text."""
    name = codec(encoding)
    with opened(path) as stream:
        file = io.TextIOWrapper(stream, "utf-8-sig" if name == "utf-8" else name)
        try:
            yield file
        except UnicodeError:
            raise UserError(
                f"{path}{_undecodable(path, name)} is not text in the encoding {name}; set data.encoding, for example "
                "to latin-1 or cp1252 (western European), utf-16 or gb18030"
            ) from None


def codec(encoding: str) -> str:
    """Return Python's name of an encoding of text; a ``UserError`` says that there is none."""
    try:
        "".encode(encoding)  # fails for codecs of something else than text, such as base64
        return codecs.lookup(encoding).name
    except LookupError:
        raise UserError(
            f"there is no encoding {encoding!r} (data.encoding); for example utf-8, utf-16, latin-1, cp1252, gb18030"
        ) from None


def _undecodable(path: Path, encoding: str) -> str:
    """Return which line of a file cannot be decoded."""
    with opened(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode(encoding)
            except UnicodeError:
                return "" if encoding.startswith(("utf-16", "utf-32")) else f", line {number}"
    return ""


@dataclass
class _Table:
    """A text table that is being read."""

    path: Path
    layout: Layout
    file: TextIO
    line: int = 0
    blank: int = 0
    surplus: int = 0
    width: int = 0
    parts: list[pa.Table] = field(default_factory=list)

    def read(self) -> Delimited:
        """Read the first row, from which the columns follow, and then the file block by block."""
        head = Records(self.file, self.layout, self.path)
        if (first := head.next()) is None:
            raise UserError(f"{self.path} is empty: it holds no row")
        self.line, self.blank = head.line, head.blank
        names = self._names(first) if self.layout.header else []
        self.width = len(names or first)
        wanted = {
            role: position(self.path, column, role, names, self.width, self._below)
            for role, column in self.layout.columns.items()
        }
        if not self.layout.header:
            self._keep([first], wanted)
        while text := self.file.read(BLOCK):
            self._block(text + self.file.readline(), wanted)
        if not self.parts:
            raise UserError(f"{self.path} holds no row of data, only the names of its columns")
        whole = pa.concat_tables(self.parts)
        columns = {role: series_of(whole[role]) for role in wanted}
        return Delimited(pd.DataFrame(columns, copy=False), self.line, self.blank, self.surplus)

    def _names(self, first: list[str]) -> list[str]:
        names = [name.strip() for name in first]
        while names and not names[-1]:
            names.pop()  # a separator at the end of lines
        return names

    def _below(self) -> list[list[str]]:
        return [self.layout.split(line) for line in islice(self.file, SAMPLE)]

    def _block(self, text: str, wanted: Mapping[str, int]) -> None:
        """Parse whole lines; what is not plain goes through the careful reader, which knows the line of a fault."""
        if (plain := self._plain(text, wanted)) is not None:
            self.line += plain.num_rows
            self.parts.append(plain)
            return
        lines = text.count("\n") + (not text.endswith("\n"))
        records = Records(chain(io.StringIO(text, newline="\n"), self.file), self.layout, self.path, self.line)
        rows: list[list[str]] = []
        while records.line < self.line + lines and (row := records.row(self.width, self.layout.header)) is not None:
            rows.append(row)
        self._keep(rows, wanted)
        self.line, self.blank, self.surplus = records.line, self.blank + records.blank, self.surplus + records.surplus

    def _plain(self, text: str, wanted: Mapping[str, int]) -> pa.Table | None:
        """Return the rows of lines without quotation marks, each of as many fields as the first; None if not so."""
        separator = self.layout.separator
        if len(separator) > 1 or separator == BLANKS or "\0" in text or (self.layout.quoted and '"' in text):
            return None
        data, names = text.encode(), [str(at) for at in range(self.width)]
        try:
            table = arrow_csv.read_csv(
                io.BytesIO(data),
                arrow_csv.ReadOptions(use_threads=False, column_names=names, block_size=len(data) + 1),
                arrow_csv.ParseOptions(delimiter=separator, quote_char=False),
                arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=sorted({names[at] for at in wanted.values()}),
                ),
            )
        except pa.ArrowInvalid:
            return None
        lines = text.count("\n") + (not text.endswith("\n"))
        if table.num_rows != lines:
            return None
        return _table({role: table[names[at]].combine_chunks() for role, at in wanted.items()})

    def _keep(self, rows: list[list[str]], wanted: Mapping[str, int]) -> None:
        if rows:
            columns = list(zip(*rows, strict=True))
            self.parts.append(_table({role: pa.array(columns[at], pa.string()) for role, at in wanted.items()}))


def _table(columns: Mapping[str, pa.Array]) -> pa.Table:
    """Return columns of text without blanks around it, empty fields as missing, ids as categories."""
    plain = {role: pc.utf8_trim_whitespace(column) for role, column in columns.items()}
    known = {role: pc.if_else(pc.equal(column, ""), None, column) for role, column in plain.items()}
    return pa.table({role: c.dictionary_encode() if role in IDS else c for role, c in known.items()})


def series_of(column: pa.ChunkedArray) -> pd.Series:
    """Return a column for pandas: categories as such, text as text."""
    if not pa.types.is_dictionary(column.type):
        return pd.Series(column.to_pandas(types_mapper={pa.string(): TEXT}.get))
    whole = column.unify_dictionaries().combine_chunks()
    codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(whole.dictionary.to_pandas())))
