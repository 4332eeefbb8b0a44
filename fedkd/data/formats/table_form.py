"""Text tables, by the names or positions of the columns that count."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedkd.data.formats.forms import INSIDE, Form, Head
from fedkd.data.sources.delimited import read_delimited
from fedkd.data.sources.records import Layout, Records
from fedkd.errors import UserError


@dataclass(frozen=True)
class Table(Form):
    """One row a line.

    Attributes
    ----------
    layout : Layout
        Separator, header and columns.
    width : int
        Fields of a line, of a table without a header; 0 where there is one.
    values : mapping of str to str
        A regular expression for the values of a role: other files are of another form, and a row with another value is
        damaged.
    between : str
        What separates the categories of an item.
    """

    layout: Layout
    width: int = 0
    values: Mapping[str, str] = field(default_factory=dict)
    between: str = "|"

    def fits(self, head: Head) -> bool:
        """Say whether the header names the columns, or the first lines have as many fields, with such values."""
        try:
            rows = [*self._records(head)]
        except UserError:
            return False
        if self.layout.header:
            return bool(rows) and set(self.layout.columns.values()) <= {name.strip() for name in rows[0]}
        return bool(rows) and all(len(row) == self.width and self._may_be(row) for row in rows)

    def _records(self, head: Head) -> Iterator[list[str]]:
        records = Records(iter(f"{line}\n" for line in head.lines), self.layout, head.path)
        while (row := records.next()) is not None:
            yield row

    def _may_be(self, row: list[str]) -> bool:
        at = {role: column for role, column in self.layout.columns.items() if isinstance(column, int)}
        return all(re.fullmatch(f"(?:{form})?", row[at[role]].strip()) for role, form in self.values.items())

    def _check(self, path: Path) -> None:
        """Refuse a first row of another form; read_delimited compares the others with it."""
        first = next(self._records(Head(path)), [])
        wanted = self.layout.columns.values()
        if self.layout.header and not set(wanted) <= {name.strip() for name in first}:
            raise UserError(f"{path} must have the columns {', '.join(map(str, wanted))} in its first line")
        if not self.layout.header and len(first) != self.width:
            raise UserError(f"{path} must have {self.width} fields in every row; its first has {len(first)}")

    def read(self, path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
        """Read the columns that have a role."""
        self._check(path)
        frame = read_delimited(path, self.layout).frame
        for role, form in self.values.items():
            good = _matches(frame[role], form)
            if not good.all():
                raise UserError(
                    f"{path}, row {int((~good).argmax()) + 1:,} has a value of another kind as {role}; mend the row, "
                    "or fetch the file anew"
                )
        if "categories" in frame:
            frame["categories"] = frame["categories"].astype("string").str.replace(self.between, INSIDE, regex=False)
        return frame, {}


def _matches(column: pd.Series, form: str) -> NDArray[np.bool_]:
    """Return which values have a form, shape [rows]; missing ones have any."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return column.str.fullmatch(form).fillna(value=True).to_numpy(bool)
    good = column.cat.categories.to_series().astype("string").str.fullmatch(form).to_numpy(bool)
    return np.append(good, True)[column.cat.codes]
