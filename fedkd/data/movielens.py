"""MovieLens 100K and 1M: the official archives, or a local folder with their files."""

import logging
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pooch

from fedkd.data.cleaning import Raw
from fedkd.data.years import years_of_titles
from fedkd.errors import UserError

LICENCE = "MovieLens: for research, no redistribution and no commercial use without permission (GroupLens, README)"
COLUMNS = ["user", "item", "rating", "time"]


@dataclass(frozen=True)
class Archive:
    """Where an archive comes from, how it is checked, and the folder inside it."""

    url: str
    sha256: str
    folder: str


ARCHIVES = {
    "movielens-100k": Archive(
        "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        "ml-100k",
    ),
    "movielens-1m": Archive(
        "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        "ml-1m",
    ),
}


def download(archive: Archive, cache: Path | None = None) -> Path:
    """Download an archive once, check it, unpack it, and return the folder with its files.

    Parameters
    ----------
    archive : Archive
        What to download.
    cache : Path, optional
        Where it is kept; the user's cache folder by default.

    Raises
    ------
    UserError
        The archive cannot be had, or is not what it should be.
    """
    target = cache or Path(pooch.os_cache("fedkd"))
    folder = target / archive.folder
    if folder.is_dir():
        return folder
    logging.getLogger("fedkd").warning("downloading %s; %s", archive.url, LICENCE)
    try:
        path = pooch.retrieve(archive.url, known_hash=f"sha256:{archive.sha256}", path=target, progressbar=False)
        _unpack(Path(path), folder)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{archive.url} cannot be downloaded into {target} ({error}); try again, "
            "or set data.path to a folder that holds the unpacked archive"
        ) from None
    return folder


def _unpack(path: Path, folder: Path) -> None:
    """Unpack beside the folder and rename, so that a folder that exists is complete."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        with zipfile.ZipFile(path) as packed:
            packed.extractall(scratch)
        shutil.move(Path(scratch) / folder.name, folder)


def locate(path: Path, source: str) -> Path:
    """Return the folder with the files: the path itself, or the archive's folder inside it."""
    inside = path / ARCHIVES[source].folder
    return inside if inside.is_dir() else path


def read_100k(folder: Path) -> Raw:
    """Read ``u.data``, and what is there of ``u.item`` (titles, years, genres) and ``ua.test`` (the official split)."""
    rows = _ratings(_file(folder, "u.data"), "\t")
    # Copies in circulation carry three more rows of a user 0 that the publisher's archive does not have.
    stray = rows["user"] == 0
    dropped = {"user 0, who is not in MovieLens": int(stray.sum())} if stray.any() else {}
    rows = rows[~stray]
    if (folder / "ua.test").is_file():
        test = _ratings(folder / "ua.test", "\t")
        rows["test"] = pd.MultiIndex.from_frame(rows[["user", "item"]]).isin(
            pd.MultiIndex.from_frame(test[["user", "item"]])
        )
    return Raw(rows, _content_100k(folder), dropped)


def _content_100k(folder: Path) -> dict[str, Any]:
    if not (folder / "u.item").is_file():
        return {}
    genres = pd.read_csv(_file(folder, "u.genre"), sep="|", names=["name", "id"]).dropna()["name"].tolist()
    columns = ["item", "title", "released", "video", "url", *genres]
    items = pd.read_csv(folder / "u.item", sep="|", names=columns, encoding="latin-1", index_col="item")
    return _content(items["title"], items[genres].astype(bool))


def read_1m(folder: Path) -> Raw:
    """Read the official ``ratings.dat``, or ``interactions.csv`` (user_id, item_id, position) that has order alone."""
    if (folder / "ratings.dat").is_file():
        # One colon as the separator, and every second column, keeps pandas on its fast reader.
        rows = _ratings(folder / "ratings.dat", ":", [0, 2, 4, 6])
    else:
        rows = _positions(_file(folder, "interactions.csv", "ratings.dat"))
    if not (folder / "movies.dat").is_file():
        return Raw(rows)
    names = ["item", "title", "genres"]
    path = folder / "movies.dat"
    movies = pd.read_csv(path, sep="::", names=names, engine="python", encoding="latin-1", index_col="item")
    genres = movies["genres"].str.get_dummies("|").astype(bool)
    return Raw(rows, _content(movies["title"], genres))


def _content(titles: pd.Series, genres: pd.DataFrame) -> dict[str, Any]:
    return {"titles": titles, "membership": genres, "years": years_of_titles(titles)}


def _ratings(path: Path, separator: str, columns: list[int] | None = None) -> pd.DataFrame:
    try:
        rows = pd.read_csv(path, sep=separator, header=None, usecols=columns or [0, 1, 2, 3], dtype=np.int64)
    except (ValueError, OSError) as error:
        raise UserError(
            f"{path} is not a MovieLens file of user, item, rating, time ({error}); fetch it anew"
        ) from None
    rows.columns = pd.Index(COLUMNS)
    return rows


def _positions(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, usecols=["user_id", "item_id", "position"], dtype=np.int64)
    except (ValueError, OSError) as error:
        raise UserError(f"{path} must have whole numbers in columns user_id, item_id, position: {error}") from None
    rows = table.sort_values(["user_id", "position"], kind="stable")[["user_id", "item_id"]]
    return rows.rename(columns={"user_id": "user", "item_id": "item"})


def _file(folder: Path, name: str, *others: str) -> Path:
    path = folder / name
    if not path.is_file():
        missing = " or ".join((name, *others))
        raise UserError(f"{folder} holds no {missing}; data.path must be the folder of the unpacked MovieLens archive")
    return path
