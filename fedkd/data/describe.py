"""Statistics of a data set: its size, its long tail, the lengths of its histories."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from fedkd.data.interactions import Interactions
from fedkd.data.sessions import sessions
from fedkd.data.sources.base import Loaded

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
HEAD, TOP = 0.2, 0.01
"""Shares of the items that count as the most popular ones, and as the top of them."""


@dataclass(frozen=True)
class Description:
    """Statistics of a data set, to be looked at before models learn from it.

    Attributes
    ----------
    users, items, interactions : int
        How many of each are left after cleaning.
    density : float
        Interactions divided by users times items.
    gini : float
        Gini coefficient of item popularity: 0 is equally popular, towards 1 a few items have it all.
    head_share, top_share : float
        Share of the interactions with the most popular fifth, and with the most popular hundredth of the items.
    history_lengths : ndarray of int64, shape [users]
        Interactions of every user.
    popularity : ndarray of int64, shape [items]
        Interactions of every item, most popular first.
    times : tuple of int, optional
        First and last time, seconds since 1970; absent where the source has none.
    session_lengths : ndarray of int64, shape [sessions]
        Interactions of every session, which ends where a user does nothing for half an hour; empty without times.
    categories : tuple of str
        Categories of the items, possibly none.
    years : ndarray of int64, shape [items with one]
        Release years of the items, those that are known.
    dropped : dict of str to int
        Rows that cleaning left out, by reason.
    how : str
        How the source was read, where that was found out.
    """

    users: int
    items: int
    interactions: int
    density: float
    gini: float
    head_share: float
    top_share: float
    history_lengths: NDArray[np.int64]
    popularity: NDArray[np.int64]
    times: tuple[int, int] | None
    session_lengths: NDArray[np.int64]
    categories: tuple[str, ...]
    years: NDArray[np.int64]
    dropped: dict[str, int]
    how: str = ""


def describe(loaded: Loaded) -> Description:
    """Return the statistics of a data set."""
    data = loaded.interactions
    popularity = np.sort(data.popularity())[::-1]
    return Description(
        users=data.num_users,
        items=data.num_items,
        interactions=len(data),
        density=len(data) / (data.num_users * data.num_items),
        gini=gini(popularity),
        head_share=_share(popularity, HEAD),
        top_share=_share(popularity, TOP),
        history_lengths=data.histories.lengths,
        popularity=popularity,
        times=None if data.times is None else (int(data.times.min()), int(data.times.max())),
        session_lengths=session_lengths(data),
        categories=data.catalogue.categories,
        years=_known(data.catalogue.years),
        dropped=loaded.dropped,
        how=loaded.how,
    )


def gini(counts: NDArray[np.int64]) -> float:
    """Return the Gini coefficient of counts that are not negative: half their relative mean absolute difference.

    For ascending counts ``x_1 ... x_n``: ``sum((2 i - n - 1) x_i) / (n sum(x))``.
    """
    rising = np.sort(counts).astype(np.float64)
    rank = np.arange(1, len(rising) + 1)
    return float(((2 * rank - len(rising) - 1) * rising).sum() / (len(rising) * rising.sum()))


def session_lengths(data: Interactions) -> NDArray[np.int64]:
    """Return the number of interactions of every session, shape [sessions]; empty where there are no times."""
    return np.zeros(0, np.int64) if data.times is None else sessions(data)[0].lengths


def _share(popularity: NDArray[np.int64], part: float) -> float:
    """Return the share of the interactions with so large a part of the items, the most popular first."""
    return float(popularity[: max(1, round(part * len(popularity)))].sum() / popularity.sum())


def description_table(description: Description) -> Table:
    """Return the statistics as a table for the terminal, what cleaning dropped included."""
    shown = Table(show_header=False, box=None, pad_edge=False)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    lengths = np.quantile(description.history_lengths, QUANTILES)
    for name, value in (
        ("users", f"{description.users:,}"),
        ("items", f"{description.items:,}"),
        ("interactions", f"{description.interactions:,}"),
        ("density", f"{description.density:.2%}"),
        (
            "long tail",
            f"{description.head_share:.0%} of the interactions are with the most popular {HEAD:.0%} of items",
        ),
        ("Gini of popularity", f"{description.gini:.3f}"),
        ("top of it", f"{description.top_share:.1%} with the most popular {TOP:.0%}"),
        ("history lengths", ", ".join(f"{_quantile(q)} {x:g}" for q, x in zip(QUANTILES, lengths, strict=True))),
        ("times", _period(description.times)),
        ("sessions", _sessions(description.session_lengths)),
        ("categories", ", ".join(description.categories) or "none"),
        ("release years", _span(description.years, description.items)),
        *([("read as", description.how)] if description.how else []),
        *((f"dropped: {reason}", f"{count:,}") for reason, count in description.dropped.items()),
    ):
        shown.add_row(name, value)
    return shown


def _quantile(share: float) -> str:
    return {0.0: "least", 0.5: "median", 1.0: "most"}.get(share, f"{share:.0%}")


def _period(times: tuple[int, int] | None) -> str:
    if times is None:
        return "none; order alone"
    return " to ".join(datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d") for time in times)


def _sessions(lengths: NDArray[np.int64]) -> str:
    if not len(lengths):
        return "none; there are no times"
    return f"{len(lengths):,}, {lengths.mean():.1f} interactions each, median {np.median(lengths):g}"


def _known(years: NDArray[np.int64] | None) -> NDArray[np.int64]:
    return np.zeros(0, np.int64) if years is None else years[years > 0]


def _span(years: NDArray[np.int64], items: int) -> str:
    if not len(years):
        return "none"
    unknown = items - len(years)
    return f"{years.min()} to {years.max()}" + (f", unknown for {unknown:,}" if unknown else "")
