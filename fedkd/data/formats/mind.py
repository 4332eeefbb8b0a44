"""MIND, the Microsoft News Dataset: clicks on impressions, and what a user had clicked before."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from fedkd.data.formats.forms import Form, Head, Part
from fedkd.data.formats.json_lines import Column
from fedkd.data.formats.opening import lines, refused
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.records import Layout

SHOWN = re.compile(r"\S+-[01]")
CLICKED = "-1"
NEWS = Layout({"item": 0, "categories": 1, "title": 3}, "\t", header=False)


@dataclass(frozen=True)
class Behaviours(Form):
    """Lines of impression, user, time, news clicked before, and news shown with ``-1`` where they were clicked."""

    def fits(self, head: Head) -> bool:
        """Say whether the first line has five fields, the last one of news with a click or without."""
        fields = head.lines[0].split("\t") if head.lines else []
        return len(fields) == 5 and all(SHOWN.fullmatch(news) for news in fields[4].split()) and bool(fields[4])

    def read(self, path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
        """Read a row per click, after those before the user's first impression."""
        columns = {"user": Column(), "item": Column(), "time": Column()}
        for row in _clicks(path):
            for value, column in zip(row, columns.values(), strict=True):
                column.add(value)
        return pd.DataFrame({role: column.done() for role, column in columns.items()}), {}


def _clicks(path: Path) -> Iterator[tuple[str, str, str]]:
    known: set[str] = set()
    for number, line in lines(path):
        try:
            fields = line.decode("utf-8").split("\t")
        except UnicodeDecodeError:
            raise refused(path, number, "is not UTF-8") from None
        if len(fields) != 5 or not fields[1]:
            raise refused(path, number, f"has {len(fields)} fields between tabs, or no user; it must have five")
        _, user, time, before, shown = fields
        if not all(SHOWN.fullmatch(news) for news in shown.split()):
            raise refused(path, number, "has news shown that do not end in -0 or -1")
        if user not in known:
            known.add(user)
            yield from ((user, news, time) for news in before.split())
        yield from ((user, news.removesuffix(CLICKED), time) for news in shown.split() if news.endswith(CLICKED))


class MIND(Published):
    """``behaviors.tsv``: news that were clicked; titles and categories of ``news.tsv``.

    What a user had clicked before comes first, once a user, with the time of the user's first impression in the file.
    """

    summary: ClassVar[str] = "MIND, Microsoft's news: behaviors.tsv, news.tsv"
    licence: ClassVar[str] = "MIND: Microsoft Research Licence, for non-commercial research"
    homepage: ClassVar[str] = "https://msnews.github.io/"
    rows: ClassVar[tuple[Part, ...]] = (Part(("behaviors.tsv",), Behaviours(), time="%m/%d/%Y %I:%M:%S %p"),)
    items: ClassVar[tuple[Part, ...]] = (Part(("news.tsv",), Table(NEWS, 8)),)

    source: Literal["mind"] = "mind"
