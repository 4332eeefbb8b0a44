"""MovieLens 100K and 1M: the official archives, or a local folder with their files."""

import logging
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pooch

from fedkd.errors import UserError

LICENCE = "MovieLens: for research, no redistribution and no commercial use without permission (GroupLens, README)"


@dataclass(frozen=True)
class Archive:
    """Where an archive comes from and how it is checked."""

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


def fetch(name: str, cache: Path | None = None, archive: Archive | None = None) -> Path:
    """Download an archive once, check it, unpack it, and return the folder with its files.

    Raises
    ------
    UserError
        The archive cannot be had, or is not what it should be.
    """
    source = archive or ARCHIVES[name]
    target = cache or Path(pooch.os_cache("fedkd"))
    folder = target / source.folder
    if folder.is_dir():
        return folder
    logging.getLogger("fedkd").warning("downloading %s; %s", source.url, LICENCE)
    try:
        path = pooch.retrieve(source.url, known_hash=f"sha256:{source.sha256}", path=target, progressbar=False)
        _unpack(Path(path), folder)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{name} cannot be downloaded from {source.url} ({error}); "
            "set data.path to a folder that holds the unpacked archive"
        ) from None
    return folder


def _unpack(path: Path, folder: Path) -> None:
    """Unpack an archive beside its folder first: a folder that exists is whole."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch, zipfile.ZipFile(path) as packed:
        packed.extractall(scratch)
        (Path(scratch) / folder.name).rename(folder)


def read_100k(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read ``u.data`` with the content of ``u.item``; ratings are kept as a column."""
    rows = _ratings(_file(folder, "u.data"), "\t")
    genres = pd.read_csv(_file(folder, "u.genre"), sep="|", names=["name", "id"]).dropna()["name"].tolist()
    columns = ["item", "title", "released", "video", "url", *genres]
    items = pd.read_csv(_file(folder, "u.item"), sep="|", names=columns, encoding="latin-1", index_col="item")
    return rows, {"titles": items["title"], "membership": items[genres].astype(bool)}


def official_test_100k(folder: Path, part: str = "ua") -> pd.DataFrame:
    """Return the official test rows (columns ``user`` and ``item``) of ML-100K."""
    return _ratings(_file(folder, f"{part}.test"), "\t")[["user", "item"]]


def read_1m(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the official ``ratings.dat``, or ``interactions.csv`` (user_id, item_id, position) that has order alone."""
    if (folder / "ratings.dat").exists():
        rows = _ratings(folder / "ratings.dat", "::")
    else:
        table = _whole_numbers(_file(folder, "interactions.csv"), usecols=["user_id", "item_id", "position"])
        rows = table.sort_values(["user_id", "position"], kind="stable")[["user_id", "item_id"]]
        rows.columns = pd.Index(["user", "item"])
    movies = pd.read_csv(
        _file(folder, "movies.dat"),
        sep="::",
        names=["item", "title", "genres"],
        engine="python",
        encoding="latin-1",
        index_col="item",
    )
    return rows, {"titles": movies["title"], "membership": movies["genres"].str.get_dummies("|").astype(bool)}


def _ratings(path: Path, separator: str) -> pd.DataFrame:
    engine = "python" if len(separator) > 1 else "c"
    return _whole_numbers(path, sep=separator, names=["user", "item", "rating", "time"], engine=engine)


def _whole_numbers(path: Path, **how: Any) -> pd.DataFrame:
    try:
        return pd.DataFrame(pd.read_csv(path, dtype=np.int64, **how))
    except ValueError as error:
        raise UserError(f"{path} is not as in the MovieLens archive: {error}; unpack the archive again") from None


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise UserError(f"{path} is missing; data.path must be the folder of the unpacked MovieLens archive")
    return path
