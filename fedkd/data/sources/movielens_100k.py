"""MovieLens 100K: the official archive, or a local folder with its files."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from fedkd.data.cleaning import Raw
from fedkd.data.sources.archive import Archive
from fedkd.data.sources.base import Source
from fedkd.data.sources.guess import Guess, Sure
from fedkd.data.sources.movielens import LICENCE, SUMMARY, content, ratings, required_file


class MovieLens100K(Source):
    """``u.data``, and what is there of ``u.item`` (titles, years, genres) and ``ua.test`` (the official split)."""

    group: ClassVar[str] = "downloaded for you"
    summary: ClassVar[str] = SUMMARY
    licence: ClassVar[str] = LICENCE
    size: ClassVar[str] = "943 users, 1,682 items, 100,000 ratings, 5 MB"
    archive: ClassVar[Archive | None] = Archive(
        "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        "ml-100k",
    )

    source: Literal["movielens-100k"] = "movielens-100k"

    @classmethod
    def guess(cls, path: Path) -> Guess | None:
        """Say whether a folder holds ``u.data``, or the folder of the archive that does."""
        folder = path / "ml-100k" if (path / "ml-100k").is_dir() else path
        return Guess(cls.label(), Sure.CERTAINLY, path, (folder / "u.data",)) if (folder / "u.data").is_file() else None

    def read(self) -> Raw:
        """Read the files; one that is missing or damaged is a ``UserError``."""
        folder = self.located()
        rows = ratings(required_file(folder, "u.data"), "\t")
        # Copies in circulation carry three more rows of a user 0 that the publisher's archive does not have.
        stray = rows["user"] == 0
        dropped = {"user 0, who is not in MovieLens": int(stray.sum())} if stray.any() else {}
        rows = rows[~stray]
        if (folder / "ua.test").is_file():
            rows["test"] = _pairs(rows).isin(_pairs(ratings(folder / "ua.test", "\t")))
        return Raw(rows, _content(folder), dropped)


def _pairs(rows: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(rows[["user", "item"]])


def _content(folder: Path) -> dict[str, Any]:
    if not (folder / "u.item").is_file():
        return {}
    path = required_file(folder, "u.genre")
    genres = pd.read_csv(path, sep="|", names=["name", "id"]).dropna()["name"].tolist()
    columns = ["item", "title", "released", "video", "url", *genres]
    items = pd.read_csv(folder / "u.item", sep="|", names=columns, encoding="latin-1", index_col="item")
    return content(items["title"], items[genres].astype(bool))
