"""One JSON object a line, or one Python dictionary as older data sets have it, read in memory of a chunk."""

import ast
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from fedkd.data.formats.opening import lines, refused
from fedkd.errors import UserError

CHUNK = 100_000
"""Values that are held as Python objects before they are packed."""
ARRAY = "is one JSON array; write one object a line, for example with jq -c '.[]'"
Object = dict[str, Any]


@dataclass
class Column:
    """Texts of one role, packed as they come; None where a line has none."""

    chunks: list[Any] = field(default_factory=list)
    waiting: list[str | None] = field(default_factory=list)

    def add(self, value: str | None) -> None:
        """Add a text."""
        self.waiting.append(value)
        if len(self.waiting) == CHUNK:
            self._pack()

    def _pack(self) -> None:
        self.chunks.append(pa.array(self.waiting, pa.large_string()))
        self.waiting = []

    def done(self) -> Any:
        """Return all texts, in the order in which they came."""
        self._pack()
        return pa.chunked_array(self.chunks, pa.large_string()).to_pandas()


def objects(path: Path, used: frozenset[str] = frozenset()) -> Iterator[tuple[int, Object]]:
    """Yield the number and the object of every line.

    Parameters
    ----------
    path : Path
        The file.
    used : set of str
        Keys that an object may not have twice.

    Raises
    ------
    UserError
        A line holds something else; the message has its number and no word of it.
    """
    parse: Callable[[str], Any] | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("error", SyntaxWarning)  # a backslash that Python would not write
        for number, line in lines(path):
            parse = parse or parser(line, used)
            yield number, _parsed(path, number, line, parse)


def parser(first: bytes, used: frozenset[str] = frozenset()) -> Callable[[str], Any]:
    """Return the parser of a file by its first line: JSON has double quotation marks, Python's dictionaries single."""
    begin = first.lstrip()[1:].lstrip()
    if begin[:1] in b"'u" and begin:
        return lambda text: _dictionary(text, used)
    return json.JSONDecoder(object_pairs_hook=lambda pairs: _object(pairs, used)).decode


def _object(pairs: list[tuple[str, Any]], used: frozenset[str]) -> Object:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        if any(keys.count(key) > 1 for key in used):
            raise ValueError("a key twice")
    return found


def _dictionary(text: str, used: frozenset[str]) -> Any:
    """Evaluate a literal, which runs nothing."""
    body = ast.parse(text.strip(), mode="eval").body
    if isinstance(body, ast.Dict):
        keys = [key.value for key in body.keys if isinstance(key, ast.Constant)]
        if any(keys.count(key) > 1 for key in used):
            raise ValueError("a key twice")
    return ast.literal_eval(body)


def _parsed(path: Path, number: int, line: bytes, parse: Callable[[str], Any]) -> Object:
    try:
        found = parse(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise refused(path, number, "is not UTF-8") from None
    except (ValueError, SyntaxError, SyntaxWarning, TypeError, MemoryError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    if line.lstrip()[:1] == b"[":
        raise UserError(f"{path} {ARRAY}")
    raise refused(path, number, "is no complete JSON object with every key once")


def text(value: Any) -> str | None:
    """Return a text or number of a JSON object as text; None for none, and for a number that is none.

    Raises
    ------
    ValueError
        The value is of another kind, or a text that cannot be written.
    """
    if value is None or value != value:
        return None
    if isinstance(value, str):
        return value if value.isascii() else value.encode().decode()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError("no text and no number")
