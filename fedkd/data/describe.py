"""Statistics of a data set: its size, its long tail, the lengths of its histories and sessions."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from fedkd.data.sessions import PAUSE_MINUTES, Sessions, sessions
from fedkd.data.sources.base import Loaded

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
HEAD, TOP = 0.2, 0.01
"""Shares of the items that count as the most popular ones, and as the top of them."""

UNITS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"), (1, "seconds"))


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
    sessions : Sessions
        Lengths of the sessions and times between interactions; empty where the source has no times.
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
    sessions: Sessions
    categories: tuple[str, ...]
    years: NDArray[np.int64]
    dropped: dict[str, int]
    how: str = ""


def describe(loaded: Loaded, pause: float = PAUSE_MINUTES) -> Description:
    """Return the statistics of a data set, whose sessions end after so many minutes without any interaction."""
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
        sessions=sessions(data, pause),
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


def _share(popularity: NDArray[np.int64], part: float) -> float:
    """Return the share of the interactions with so large a part of the items, the most popular first."""
    return float(popularity[: max(1, round(part * len(popularity)))].sum() / popularity.sum())


def description_table(description: Description) -> Table:
    """Return the statistics as a table for the terminal, what cleaning dropped included."""
    shown = Table(show_header=False, box=None, pad_edge=False)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
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
        ("history lengths", _lengths(description.history_lengths)),
        ("times", _period(description.times)),
        *_sessions(description.sessions),
        ("categories", ", ".join(description.categories) or "none"),
        ("release years", _span(description.years, description.items)),
        *([("read as", description.how)] if description.how else []),
        *((f"dropped: {reason}", f"{count:,}") for reason, count in description.dropped.items()),
    ):
        shown.add_row(name, value)
    return shown


def _lengths(lengths: NDArray[np.int64]) -> str:
    quantiles = zip(QUANTILES, np.quantile(lengths, QUANTILES), strict=True)
    return ", ".join([f"mean {lengths.mean():.1f}", *(f"{_quantile(share)} {x:g}" for share, x in quantiles)])


def _quantile(share: float) -> str:
    return {0.0: "least", 0.5: "median", 1.0: "most"}.get(share, f"{share:.0%}")


def _period(times: tuple[int, int] | None) -> str:
    if times is None:
        return "none; order alone"
    return " to ".join(datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d") for time in times)


def _sessions(found: Sessions) -> list[tuple[str, str]]:
    if not len(found.lengths):
        return [("sessions", "none; there are no times")]
    of_users = f"{found.of_users.mean():.1f} of a user, median {np.median(found.of_users):g}"
    ends = f"{found.pause:g} minutes without any interaction end one"
    return [
        ("sessions", f"{len(found.lengths):,}, {of_users}; {ends}"),
        ("session lengths", _lengths(found.lengths)),
        ("gaps", f"median {_median(found.within)} within a session, {_median(found.between)} between two"),
    ]


def _median(seconds: NDArray[np.int64]) -> str:
    """Return the median in the largest unit of which it has one."""
    if not len(seconds):
        return "unknown"
    median = float(np.median(seconds))
    size, unit = next(((size, unit) for size, unit in UNITS if median >= size), UNITS[-1])
    return f"{median / size:.3g} {unit}"


def _known(years: NDArray[np.int64] | None) -> NDArray[np.int64]:
    return np.zeros(0, np.int64) if years is None else years[years > 0]


def _span(years: NDArray[np.int64], items: int) -> str:
    if not len(years):
        return "none"
    unknown = items - len(years)
    return f"{years.min()} to {years.max()}" + (f", unknown for {unknown:,}" if unknown else "")
