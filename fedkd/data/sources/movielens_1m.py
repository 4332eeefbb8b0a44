"""MovieLens 1M: the official archive, or a local folder with its files."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from fedkd.data.cleaning import Raw
from fedkd.data.sources.archive import Archive
from fedkd.data.sources.base import Source
from fedkd.data.sources.guess import Guess, Sure
from fedkd.data.sources.movielens import LICENCE, SUMMARY, content, ratings, required_file
from fedkd.errors import UserError


class MovieLens1M(Source):
    """``ratings.dat``, or ``interactions.csv`` (user_id, item_id, position) that has order alone; ``movies.dat``."""

    group: ClassVar[str] = "downloaded for you"
    summary: ClassVar[str] = SUMMARY
    licence: ClassVar[str] = LICENCE
    size: ClassVar[str] = "6,040 users, 3,706 items, 1,000,209 ratings, 6 MB"
    archive: ClassVar[Archive | None] = Archive(
        "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        "ml-1m",
    )

    source: Literal["movielens-1m"] = "movielens-1m"

    @classmethod
    def guess(cls, path: Path) -> Guess | None:
        """Say whether a folder holds ``ratings.dat`` beside ``users.dat``, which the edition of 10M does not have."""
        folder = path / "ml-1m" if (path / "ml-1m").is_dir() else path
        files = tuple(folder / name for name in ("ratings.dat", "users.dat", "movies.dat"))
        there = all(file.is_file() for file in files[:2])
        return Guess(cls.label(), Sure.CERTAINLY, path, files) if there else None

    def read(self) -> Raw:
        """Read the files; one that is missing or damaged is a ``UserError``."""
        folder = self.located()
        if (folder / "ratings.dat").is_file():
            # One colon as the separator, and every second column, keeps pandas on its fast reader.
            rows = ratings(folder / "ratings.dat", ":", [0, 2, 4, 6])
        else:
            rows = _positions(required_file(folder, "interactions.csv", "ratings.dat"))
        return Raw(rows, _content(folder / "movies.dat"))


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    names = ["item", "title", "genres"]
    movies = pd.read_csv(path, sep="::", names=names, engine="python", encoding="latin-1", index_col="item")
    return content(movies["title"], movies["genres"].str.get_dummies("|").astype(bool))


def _positions(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, usecols=["user_id", "item_id", "position"], dtype=np.int64)
    except (ValueError, OSError) as error:
        raise UserError(f"{path} must have whole numbers in columns user_id, item_id, position: {error}") from None
    rows = table.sort_values(["user_id", "position"], kind="stable")[["user_id", "item_id"]]
    return rows.rename(columns={"user_id": "user", "item_id": "item"})
