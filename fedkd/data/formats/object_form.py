"""Files of JSON objects, by the keys of the fields that count."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import pandas as pd

from fedkd.data.formats.forms import INSIDE, Form, Head
from fedkd.data.formats.json_lines import Column, Object, objects, text
from fedkd.data.formats.opening import refused
from fedkd.errors import UserError


@dataclass(frozen=True)
class Objects(Form):
    """One object a line.

    Attributes
    ----------
    keys : mapping of str to str
        The key of every role that the form has.
    inner : str
        Key of a list of objects, where each of them is a row; they are searched before the line's own object.
    """

    keys: Mapping[str, str]
    inner: str = ""

    def fits(self, head: Head) -> bool:
        """Say whether the first object has the keys of user and item."""
        return any(self._has_keys(found) for found in head.objects)

    def _has_keys(self, found: Object) -> bool:
        inside = found.get(self.inner) if self.inner else None
        names = found.keys() | (inside[0].keys() if _are_objects(inside) and inside else set())
        needed = {self.inner} - {""} | {self.keys[role] for role in ("user", "item") if role in self.keys}
        return needed <= names

    def read(self, path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
        """Read the rows; a line without a key has an empty field."""
        columns = {role: Column() for role in self.keys}
        for number, row in self._rows(path):
            for role, column in columns.items():
                column.add(_field(path, number, row, role, self.keys[role]))
        found = pd.DataFrame({role: column.done() for role, column in columns.items()})
        missing = [self.keys[role] for role in ("user", "item") if role in found and found[role].isna().all()]
        if missing:
            raise UserError(f"{path} has no line with a key {missing[0]!r}; is it another file of the data set?")
        return found, {}

    def _rows(self, path: Path) -> Iterator[tuple[int, Object]]:
        for number, found in objects(path, frozenset(self.keys.values())):
            if not self.inner:
                yield number, found
                continue
            inside = found.get(self.inner)
            if not _are_objects(inside):
                raise refused(path, number, f"has no list of objects {self.inner!r}")
            yield from ((number, {**found, **row}) for row in inside)


def _are_objects(value: Any) -> TypeGuard[list[Object]]:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _field(path: Path, number: int, row: Object, role: str, key: str) -> str | None:
    value = row.get(key)
    try:
        return categories(value) if role == "categories" else text(value)
    except ValueError:
        raise refused(path, number, f"has something else than a text or a number as {key!r}") from None


def categories(value: Any) -> str | None:
    """Return the categories of an item, given as a list, as lists in a list, as a mapping or as a text with commas."""
    if isinstance(value, str):
        return INSIDE.join(name.strip() for name in value.split(","))
    if isinstance(value, Mapping | list | tuple):
        names = [categories(each) if isinstance(each, list | tuple) else text(each) for each in value]
        return INSIDE.join(name for name in names if name)
    return text(value)
