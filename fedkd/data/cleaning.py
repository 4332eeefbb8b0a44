"""Cleaning: rows as a source gives them become histories in order, and what is left out is counted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.ragged import Ragged, offsets

NO_GROUP = "unknown"
"""The group of users whose source names none."""


@dataclass(frozen=True)
class Raw:
    """The rows of a source, before cleaning.

    Attributes
    ----------
    rows : DataFrame
        Columns ``user`` and ``item``, best as categories where there are many rows; optionally ``time`` (seconds since
        1970), ``rating``, ``group`` and ``test`` (true for the rows of the source's official test part). Rows of equal
        time keep their order, and so do rows without times.
    content : mapping
        ``titles`` (a Series), ``membership`` (a DataFrame of flags, one column per category) and ``years`` (a Series),
        indexed by item id, or some of them, or nothing.
    dropped : mapping of str to int
        Rows that the source itself left out, by reason; a reason with a colon counts something else.
    how : str
        How the source was read, where that was found out rather than stated.
    """

    rows: pd.DataFrame
    content: Mapping[str, Any] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    how: str = ""


@dataclass(frozen=True)
class Keep:
    """The limits of cleaning: rows, users and items below them are dropped.

    Attributes
    ----------
    min_rating : float, optional
        Least rating; every row without it.
    min_user_interactions, min_item_interactions : int
        Least number of interactions; items are judged first, each side once.
    largest_loss: float
        Share of the rows that one reason may take if it is below this; at 1 every loss is accepted.
    """

    min_rating: float | None = None
    min_user_interactions: int = 2
    min_item_interactions: int = 1
    largest_loss: float = 0.5


@dataclass(frozen=True)
class Cleaned:
    """Clean histories, and the count of what is not in them.

    Attributes
    ----------
    interactions : Interactions
        Histories in time order; rows of equal time in the order of the source.
    dropped : dict of str to int
        Rows left out, by reason.
    official_test : ndarray of bool, shape [interactions], optional
        Which of them the source calls test.
    """

    interactions: Interactions
    dropped: dict[str, int]
    official_test: NDArray[np.bool_] | None = None


def clean(raw: Raw, keep: Keep) -> Cleaned:
    """Drop, row by row and counted, what cannot be learnt from; order the rest by user and time.

    Raises
    ------
    UserError
        Nothing is left, one reason took more than was expected, or ratings are to be filtered where there are none.
    """
    dropped, labels = dict(raw.dropped), {side: _labels(raw.rows[side]) for side in ("user", "item")}
    rows = _needed(raw.rows, keep).assign(**{side: _codes(raw.rows[side], known) for side, known in labels.items()})
    _count_markers(rows, labels, dropped)
    for step in (_readable, _wanted, _first_of_each_pair, _frequent):
        rows = step(rows, keep, dropped)
    if rows.empty:
        counted = ", ".join(f"{count} x {reason}" for reason, count in dropped.items())
        raise UserError(
            f"no interaction is left after cleaning (dropped: {counted or 'nothing, the source is empty'}); check the "
            "columns, or lower data.min-rating, data.min-user-interactions and data.min-item-interactions"
        )
    check_losses(dropped, len(raw.rows) + sum(left_out(raw.dropped).values()), keep)
    return _build(rows, labels, raw.content, dropped)


def _needed(rows: pd.DataFrame, keep: Keep) -> pd.DataFrame:
    """Return the columns that cleaning looks at; where there are millions of rows, every other one counts."""
    return rows if keep.min_rating is not None else rows.drop(columns="rating", errors="ignore")


def left_out(dropped: Mapping[str, int]) -> dict[str, int]:
    """Return the reasons that count rows; one with a colon counts something else."""
    return {reason: count for reason, count in dropped.items() if ":" not in reason}


REPEATED = "the same user and item again"
UNREAD_TIME = "time cannot be read"
MISSING = "missing user or item id"
MENDS = {
    REPEATED: "check data.user-column and data.item-column",
    UNREAD_TIME: "set data.time-format",
    MISSING: "check data.user-column and data.item-column",
}
"""The most likely fault where a reason takes many rows."""


def check_losses(dropped: Mapping[str, int], rows: int, keep: Keep) -> None:
    """Refuse, with a ``UserError``, that one reason took a large share of the rows without being asked to."""
    for reason, count in left_out(dropped).items():
        if keep.largest_loss < 1 and count >= keep.largest_loss * rows and not _asked_for(reason, keep):
            mend = MENDS.get(reason, "look at these rows")
            if reason.startswith("user with fewer"):
                mend = "set data.min-user-interactions=1 to keep them"
            raise UserError(
                f"{count:,} of {rows:,} rows would be left out ({reason}); {mend}, or set data.largest-loss=1 if this "
                "is as it should be"
            )


def _asked_for(reason: str, keep: Keep) -> bool:
    """Whether a limit other than the default one takes the rows."""
    default = Keep()
    return (
        reason.startswith("rating below")
        or (reason.startswith("user with") and keep.min_user_interactions > default.min_user_interactions)
        or (reason.startswith("item with") and keep.min_item_interactions > default.min_item_interactions)
    )


def _drop(rows: pd.DataFrame, good: Any, reason: str, dropped: dict[str, int]) -> pd.DataFrame:
    """Keep the good rows and count the others."""
    count = len(rows) - int(good.sum())
    if not count:
        return rows
    dropped[reason] = dropped.get(reason, 0) + count
    kept: pd.DataFrame = rows.loc[good]
    return kept


def _count_markers(rows: pd.DataFrame, labels: Mapping[str, NDArray[Any]], dropped: dict[str, int]) -> None:
    """Count rows of the id -1, which some files write for nobody; other negative numbers are surely ids."""
    for side, known in labels.items():
        place = np.flatnonzero(known == -1) if known.dtype.kind == "i" else ()
        if count := int(rows[side].isin(place).sum()):
            dropped[f"{side} id -1: it counts as an id"] = count


def _readable(rows: pd.DataFrame, keep: Keep, dropped: dict[str, int]) -> pd.DataFrame:
    """Keep rows with ids, and with a time where the source has times; put them in time order."""
    rows = _drop(rows, (rows["user"] >= 0) & (rows["item"] >= 0), MISSING, dropped)
    if "time" not in rows:
        return rows
    rows = _drop(rows, np.isfinite(_numbers(rows["time"])), UNREAD_TIME, dropped)
    return rows if rows["time"].is_monotonic_increasing else rows.sort_values("time", kind="stable")


def _numbers(column: pd.Series) -> "pd.Series[float]":
    return pd.to_numeric(column, errors="coerce").astype("float64")


def _wanted(rows: pd.DataFrame, keep: Keep, dropped: dict[str, int]) -> pd.DataFrame:
    if keep.min_rating is None:
        return rows
    if "rating" not in rows:
        raise UserError(
            f"data.min-rating is {keep.min_rating:g}, but this source has no ratings; "
            "remove it, or set data.rating-column for a table"
        )
    ratings = _numbers(rows["rating"])
    rows = _drop(rows, ratings.notna(), "rating cannot be read", dropped)
    return _drop(rows, ratings[ratings.notna()] >= keep.min_rating, f"rating below {keep.min_rating:g}", dropped)


def _first_of_each_pair(rows: pd.DataFrame, keep: Keep, dropped: dict[str, int]) -> pd.DataFrame:
    pairs = rows["user"].astype(np.int64) * (1 + int(rows["item"].max())) + rows["item"] if len(rows) else rows["user"]
    return _drop(rows, ~pairs.duplicated(), REPEATED, dropped)


def _frequent(rows: pd.DataFrame, keep: Keep, dropped: dict[str, int]) -> pd.DataFrame:
    for side, least in (("item", keep.min_item_interactions), ("user", keep.min_user_interactions)):
        enough = np.bincount(rows[side]) >= least
        rows = _drop(rows, enough[rows[side]], f"{side} with fewer than {least} interactions", dropped)
    return rows


def _build(
    rows: pd.DataFrame, labels: Mapping[str, NDArray[Any]], content: Mapping[str, Any], dropped: dict[str, int]
) -> Cleaned:
    (users, user_ids), (items, item_ids) = (_used(rows[side], known) for side, known in labels.items())
    order = np.argsort(users, kind="stable")
    histories = Ragged(items[order].astype(np.int32), offsets(np.bincount(users, minlength=len(user_ids))))
    times = np.floor(rows["time"].to_numpy(np.float64))[order].astype(np.int64) if "time" in rows else None
    groups = _groups(rows, users, dropped) if "group" in rows else None
    interactions = Interactions(user_ids.astype(np.str_), histories, _catalogue(item_ids, content), times, groups)
    return Cleaned(interactions, dropped, rows["test"].to_numpy(bool)[order] if "test" in rows else None)


def _labels(ids: pd.Series) -> NDArray[Any]:
    """Return the distinct ids in their order (numbers as numbers)."""
    known = ids.cat.categories if isinstance(ids.dtype, pd.CategoricalDtype) else ids.dropna()
    return np.asarray(pd.factorize(known, sort=True)[1])


def _codes(ids: pd.Series, labels: NDArray[Any]) -> NDArray[np.int32]:
    """Return the position of every row's id among the labels, shape [rows]; -1 where it is missing."""
    place = pd.Index(labels)
    if not isinstance(ids.dtype, pd.CategoricalDtype):
        return np.where(ids.notna(), place.get_indexer(ids), -1).astype(np.int32)
    return np.append(place.get_indexer(ids.cat.categories), -1).astype(np.int32)[ids.cat.codes]


def _used(codes: "pd.Series[int]", labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return positions among the ids that are left, shape [rows], and these ids."""
    left = np.bincount(codes, minlength=len(labels)) > 0
    return (np.cumsum(left) - 1)[codes], labels[left]


def _groups(rows: pd.DataFrame, users: NDArray[np.int64], dropped: dict[str, int]) -> NDArray[np.str_]:
    """Return every user's first group in time, shape [users]; more than one is counted."""
    labels = np.unique([*_labels(rows["group"]).astype(np.str_), NO_GROUP])
    named = pd.Series(pd.Categorical(rows["group"])).cat.rename_categories(str)
    codes = _codes(named, labels)
    codes[codes < 0] = np.searchsorted(labels, NO_GROUP)
    pairs = np.unique(users * len(labels) + codes) // len(labels)
    if several := int((np.bincount(pairs) > 1).sum()):
        dropped["user in several groups: the first is kept"] = several
    first = np.unique(users, return_index=True)[1]
    return labels[codes[first]]


def _catalogue(ids: NDArray[Any], content: Mapping[str, Any]) -> Catalogue:
    known: dict[str, Any] = {}
    if "titles" in content:
        known["titles"] = content["titles"].reindex(ids).fillna("").to_numpy().astype(np.str_)
    if "membership" in content:
        flags = content["membership"].reindex(ids, fill_value=False)
        known |= {"categories": tuple(map(str, flags.columns)), "membership": flags.to_numpy(bool)}
    if "years" in content:
        known["years"] = content["years"].reindex(ids, fill_value=0).to_numpy(np.int64)
    return Catalogue(ids.astype(np.str_), **known)
