"""The Netflix prize data: the ratings of a film below a line with its number."""

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from fedkd.data.formats.forms import Form, Head, Part
from fedkd.data.formats.opening import lines, refused
from fedkd.data.formats.published import Published

FILM = re.compile(rb"([1-9][0-9]{0,8}):[ \t]*")
RATING = re.compile(rb"([1-9][0-9]{0,8}),([1-5]),([0-9]{4}-[0-9]{2}-[0-9]{2})[ \t]*")
TITLE = re.compile(r"([1-9][0-9]*),(NULL|[0-9]{4}),(.+)")


@dataclass(frozen=True)
class Blocks(Form):
    """Lines ``film:`` and below each ``user,rating,date``."""

    def fits(self, head: Head) -> bool:
        """Say whether a film's line and a rating come first."""
        first = [line.encode() for line in head.lines[:2]]
        return len(first) == 2 and bool(FILM.fullmatch(first[0]) and RATING.fullmatch(first[1]))

    def read(self, path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
        """Read a row per rating."""
        columns = {role: array("q") for role in ("item", "user", "rating", "time")}
        for row in _ratings(path):
            for value, column in zip(row, columns.values(), strict=True):
                column.append(value)
        return pd.DataFrame({role: np.asarray(column) for role, column in columns.items()}), {}


def _ratings(path: Path) -> Iterator[tuple[int, int, int, int]]:
    film, days = None, cache(_seconds)
    for number, line in lines(path):
        if match := RATING.fullmatch(line):
            if film is None or (time := days(match[3])) is None:
                raise refused(path, number, "is a rating without a date, or without a film's line before it")
            yield film, int(match[1]), int(match[2]), time
        elif match := FILM.fullmatch(line):
            film = int(match[1])
        else:
            raise refused(path, number, "is neither 'film:' nor 'user,rating,date'")


def _seconds(day: bytes) -> int | None:
    try:
        return int(datetime.fromisoformat(day.decode()).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None


@dataclass(frozen=True)
class Titles(Form):
    """Lines ``film,year,title``, where a title may hold commas."""

    def fits(self, head: Head) -> bool:
        """Say whether the first lines are such."""
        return bool(head.lines) and all(TITLE.fullmatch(line) for line in head.lines)

    def read(self, path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
        """Read a row per film."""
        rows = []
        for number, line in lines(path):
            match = TITLE.fullmatch(line.decode("latin-1"))
            if match is None:
                raise refused(path, number, "is not 'film,year,title'")
            rows.append(match.groups())
        return pd.DataFrame(rows, columns=["item", "year", "title"]), {}


class Netflix(Published):
    """``combined_data_1.txt`` to ``_4.txt``, or the files ``mv_*.txt``, and the titles of ``movie_titles.csv``."""

    summary: ClassVar[str] = "Netflix prize: combined_data_*.txt, movie_titles.csv"
    licence: ClassVar[str] = "Netflix prize: no redistribution and no commercial use (README of the data)"
    homepage: ClassVar[str] = "https://archive.org/details/nf_prize_dataset.tar"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(("combined_data_*.txt",), Blocks(), time="s", several=True),
        Part(("mv_*.txt",), Blocks(), time="s", several=True),
    )
    items: ClassVar[tuple[Part, ...]] = (Part(("movie_titles.*",), Titles()),)

    source: Literal["netflix"] = "netflix"
