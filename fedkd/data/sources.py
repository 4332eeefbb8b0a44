"""Every source of interactions by its name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedkd.data import movielens
from fedkd.data.cleaning import Keep, Raw, clean
from fedkd.data.interactions import Interactions
from fedkd.data.options import DataOptions
from fedkd.data.synthetic import generate
from fedkd.data.tables import read_lightgcn, read_table, required_path
from fedkd.errors import UserError


@dataclass(frozen=True)
class Source:
    """What a person should know of a source before using it.

    Attributes
    ----------
    text : str
        One line.
    licence : str
        Under which terms.
    size : str
        How much it is, for a person to read.
    """

    text: str
    licence: str
    size: str


OWN = "your own data: your own terms"
SOURCES = {
    "synthetic": Source("made up by the program, no download", "none needed", "600 users x 500 items, or as you say"),
    "movielens-100k": Source(
        "films rated 1 to 5, with times and genres", movielens.LICENCE, "943 users, 1,682 items, 100,000 ratings, 5 MB"
    ),
    "movielens-1m": Source(
        "films rated 1 to 5, with times and genres",
        movielens.LICENCE,
        "6,040 users, 3,706 items, 1,000,209 ratings, 6 MB",
    ),
    "lightgcn": Source("a folder with train.txt and perhaps test.txt, lines 'user item item ...'", OWN, "any"),
    "table": Source("a CSV, TSV or Parquet file, by column names", OWN, "any"),
}


@dataclass(frozen=True)
class Loaded:
    """A source's interactions after cleaning.

    Attributes
    ----------
    interactions : Interactions
        What is left.
    dropped : dict of str to int
        What cleaning left out or merged, by reason; in rows where the reason names nothing else.
    name : str
        The source.
    licence : str
        Under which terms the data may be used.
    official_test : ndarray of bool, shape [interactions], optional
        Which interactions belong to the source's own test part.
    """

    interactions: Interactions
    dropped: dict[str, int]
    name: str
    licence: str
    official_test: NDArray[np.bool_] | None = None


def load(options: DataOptions) -> Loaded:
    """Read and clean the source that the options name.

    Raises
    ------
    UserError
        The source is missing or cannot be used; the message says what mends it.
    """
    licence = SOURCES[options.source].licence
    if options.source == "synthetic":
        return Loaded(_synthetic(options), {}, options.source, licence)
    keep = Keep(options.min_rating, options.min_user_interactions, options.min_item_interactions)
    done = clean(READERS[options.source](options), keep)
    return Loaded(done.interactions, done.dropped, options.source, licence, done.official_test)


def fetch(source: str, folder: Path | None = None) -> Path:
    """Download a source, once, into a folder (the user's cache without one), and return where its files are.

    Raises
    ------
    UserError
        There is nothing to download, or the download failed.
    """
    if source not in movielens.ARCHIVES:
        raise UserError(f"there is nothing to download for {source!r}; allowed: {', '.join(movielens.ARCHIVES)}")
    return movielens.download(movielens.ARCHIVES[source], folder)


def _synthetic(options: DataOptions) -> Interactions:
    if options.min_rating is not None:
        raise UserError("data.min-rating is set, but synthetic data has no ratings; remove it")
    return generate(options.synthetic)


def _movielens(options: DataOptions) -> Path:
    if options.path is None:
        return fetch(options.source)
    return movielens.locate(required_path(options), options.source)


READERS: dict[str, Callable[[DataOptions], Raw]] = {
    "movielens-100k": lambda options: movielens.read_100k(_movielens(options)),
    "movielens-1m": lambda options: movielens.read_1m(_movielens(options)),
    "lightgcn": read_lightgcn,
    "table": read_table,
}
