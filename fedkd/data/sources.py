"""Every source of interactions by its name."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedkd.data import movielens
from fedkd.data.cleaning import Keep, clean
from fedkd.data.interactions import Interactions
from fedkd.data.options import DataOptions
from fedkd.data.synthetic import generate
from fedkd.data.tables import read_lightgcn, read_table, required_path

SOURCES = {
    "synthetic": "made up by the program: no download, no licence",
    "movielens-100k": "943 users, 1,682 films, 100,000 ratings; research use only",
    "movielens-1m": "6,040 users, 3,706 films, 1,000,209 ratings; research use only",
    "lightgcn": "your own files, 'user item item ...' a line (data.path)",
    "table": "your own CSV, TSV or Parquet by column names (data.path)",
}


@dataclass(frozen=True)
class Loaded:
    """A source's interactions after cleaning.

    Attributes
    ----------
    interactions : Interactions
        What is left.
    dropped : dict of str to int
        Rows left out, by reason.
    official_test : ndarray of bool, shape [interactions], optional
        Which interactions belong to the source's own test part.
    """

    interactions: Interactions
    dropped: dict[str, int]
    official_test: NDArray[np.bool_] | None = None


def load(options: DataOptions) -> Loaded:
    """Read and clean the source that the options name.

    Raises
    ------
    UserError
        The source is missing or cannot be used; the message says what mends it.
    """
    keep = Keep(options.min_rating, options.min_user_interactions, options.min_item_interactions)
    if options.source == "synthetic":
        return Loaded(generate(options.synthetic), {})
    if options.source == "table":
        return Loaded(*clean(read_table(options), keep))
    if options.source == "lightgcn":
        rows, test = read_lightgcn(options)
        return _with_test(*clean(rows, keep), test)
    folder = movielens.fetch(options.source) if options.path is None else required_path(options)
    if options.source == "movielens-1m":
        rows, content = movielens.read_1m(folder)
        return Loaded(*clean(rows, keep, content))
    rows, content = movielens.read_100k(folder)
    official = (folder / "ua.test").exists()
    return _with_test(*clean(rows, keep, content), movielens.official_test_100k(folder) if official else None)


def _with_test(interactions: Interactions, dropped: dict[str, int], test: pd.DataFrame | None) -> Loaded:
    if test is None:
        return Loaded(interactions, dropped)
    histories = interactions.histories
    pairs = pd.MultiIndex.from_arrays(
        [interactions.users[histories.row_index], interactions.catalogue.ids[histories.values]]
    )
    wanted = pd.MultiIndex.from_arrays([test["user"].astype(str), test["item"].astype(str)])
    return Loaded(interactions, dropped, pairs.isin(wanted))
