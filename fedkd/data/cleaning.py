"""From a table of rows as they came to histories that models can trust; everything left out is counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedkd.data.interactions import Catalogue, Interactions
from fedkd.errors import UserError
from fedkd.ragged import Ragged, offsets


@dataclass(frozen=True)
class Keep:
    """What cleaning keeps.

    Attributes
    ----------
    min_rating : float, optional
        Least rating; every row without it.
    min_user_interactions, min_item_interactions : int
        Least number of interactions; items are judged first, each once.
    """

    min_rating: float | None = None
    min_user_interactions: int = 2
    min_item_interactions: int = 1


def clean(
    rows: pd.DataFrame, keep: Keep, content: Mapping[str, Any] | None = None
) -> tuple[Interactions, dict[str, int]]:
    """Return the interactions of a table, and how many rows were left out for which reason.

    Parameters
    ----------
    rows : DataFrame
        Columns ``user`` and ``item``; optionally ``time`` (seconds), ``rating`` and ``group``. Rows of equal time keep
        their order, and so do rows without a time.
    keep : Keep
        What is kept.
    content : mapping, optional
        Fields of the ``Catalogue`` by name, each indexed by item id (a Series, or a DataFrame of flags for
        ``membership``).

    Raises
    ------
    UserError
        Nothing is left.
    """
    dropped: dict[str, int] = {}

    def drop(reason: str, good: Any) -> None:
        nonlocal rows
        count = len(rows) - int(good.sum())
        if count:
            dropped[reason] = count
            rows = rows[good]

    drop("missing user or item id", rows["user"].notna() & rows["item"].notna())
    drop("negative user or item id", ~(_negative(rows["user"]) | _negative(rows["item"])))
    if "time" in rows:
        drop("time cannot be read", rows["time"].notna())
        rows = rows.sort_values("time", kind="stable")
    if keep.min_rating is not None and "rating" in rows:
        drop(f"rating below {keep.min_rating:g}", rows["rating"] >= keep.min_rating)
    drop("the same user and item again", ~rows.duplicated(["user", "item"]))
    drop(
        f"item with fewer than {keep.min_item_interactions} interactions",
        rows.groupby("item")["item"].transform("size") >= keep.min_item_interactions,
    )
    drop(
        f"user with fewer than {keep.min_user_interactions} interactions",
        rows.groupby("user")["user"].transform("size") >= keep.min_user_interactions,
    )
    if rows.empty:
        raise UserError(
            f"no interaction is left after cleaning ({dropped or 'the source is empty'}); keep more of them"
        )
    return _build(rows, content or {}), dropped


def _negative(ids: pd.Series) -> Any:
    return (pd.to_numeric(ids, errors="coerce") < 0).fillna(value=False)  # text is no negative number


def _build(rows: pd.DataFrame, content: Mapping[str, Any]) -> Interactions:
    users, user_ids = _codes(rows["user"])
    items, item_ids = _codes(rows["item"])
    order = np.argsort(users, kind="stable")
    histories = Ragged(items[order].astype(np.int32), offsets(np.bincount(users, minlength=len(user_ids))))
    times = rows["time"].to_numpy(np.int64)[order] if "time" in rows else None
    groups = None
    if "group" in rows:
        first = rows["group"].astype(str).to_numpy()[order][histories.indptr[:-1]]
        groups = first.astype(np.str_)
    return Interactions(user_ids.astype(np.str_), histories, _catalogue(item_ids, content), times, groups)


def _codes(ids: pd.Series) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return positions and distinct ids, in the order of the ids (numbers as numbers)."""
    distinct, codes = np.unique(ids.to_numpy(), return_inverse=True)
    return codes.astype(np.int64), distinct


def _catalogue(ids: NDArray[Any], content: Mapping[str, Any]) -> Catalogue:
    names = ids.astype(np.str_)
    if "membership" not in content:
        return Catalogue(names)
    flags = content["membership"].reindex(ids).fillna(value=False)
    titles = content["titles"].reindex(ids).fillna("").to_numpy().astype(np.str_)
    categories = tuple(map(str, flags.columns))
    return Catalogue(names, titles, categories, flags.to_numpy(bool))
