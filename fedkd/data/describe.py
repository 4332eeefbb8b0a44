"""Statistics of a data set: its size, its long tail, the lengths of its histories."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from fedkd.data.sources.base import Loaded
from fedkd.errors import UserError

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
HEAD = 0.2
"""Share of the items that counts as the most popular ones."""


@dataclass(frozen=True)
class Description:
    """Statistics of a data set after cleaning.

    Attributes
    ----------
    users, items, interactions : int
        How many of each are left after cleaning.
    density : float
        Interactions divided by users times items.
    gini : float
        Gini coefficient of item popularity: 0 is equally popular, towards 1 a few items have it all.
    head_share : float
        Share of the interactions with the most popular fifth of the items.
    history_lengths : ndarray of int64, shape [users]
        Interactions of every user.
    popularity : ndarray of int64, shape [items]
        Interactions of every item, most popular first.
    times : tuple of int, optional
        First and last time, seconds since 1970; absent where the source has none.
    categories : tuple of str
        Categories of the items, possibly none.
    years : ndarray of int64, shape [items with one]
        Release years of the items, those that are known.
    dropped : dict of str to int
        Rows that cleaning left out, by reason.
    """

    users: int
    items: int
    interactions: int
    density: float
    gini: float
    head_share: float
    history_lengths: NDArray[np.int64]
    popularity: NDArray[np.int64]
    times: tuple[int, int] | None
    categories: tuple[str, ...]
    years: NDArray[np.int64]
    dropped: dict[str, int]


def describe(loaded: Loaded) -> Description:
    """Return the statistics of a data set."""
    data = loaded.interactions
    popularity = np.sort(data.popularity())[::-1]
    head = max(1, round(HEAD * len(popularity)))
    return Description(
        users=data.num_users,
        items=data.num_items,
        interactions=len(data),
        density=len(data) / (data.num_users * data.num_items),
        gini=gini(popularity),
        head_share=float(popularity[:head].sum() / popularity.sum()),
        history_lengths=data.histories.lengths,
        popularity=popularity,
        times=None if data.times is None else (int(data.times.min()), int(data.times.max())),
        categories=data.catalogue.categories,
        years=_known(data.catalogue.years),
        dropped=loaded.dropped,
    )


def gini(counts: NDArray[np.int64]) -> float:
    """Return the Gini coefficient of counts that are not negative: half their relative mean absolute difference.

    For ascending counts ``x_1 ... x_n``: ``sum((2 i - n - 1) x_i) / (n sum(x))``.
    """
    rising = np.sort(counts).astype(np.float64)
    rank = np.arange(1, len(rising) + 1)
    return float(((2 * rank - len(rising) - 1) * rising).sum() / (len(rising) * rising.sum()))


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
        ("history lengths", ", ".join(f"{_quantile(q)} {x:g}" for q, x in zip(QUANTILES, lengths, strict=True))),
        ("times", _period(description.times)),
        ("categories", ", ".join(description.categories) or "none"),
        ("release years", _span(description.years, description.items)),
        *((f"dropped: {reason}", f"{count:,}") for reason, count in description.dropped.items()),
    ):
        shown.add_row(name, value)
    return shown


def plot(description: Description, path: Path) -> None:
    """Draw the long tail and the lengths of histories into a file; its ending (png, svg, pdf) is the format.

    Raises
    ------
    UserError
        The file cannot be written, or its ending names no known format.
    """
    from matplotlib.figure import Figure  # a second that nobody should wait for who wants no picture
    from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    tail, histories = figure.subplots(1, 2)
    tail.plot(np.arange(1, description.items + 1), description.popularity, color="#1f6feb")
    tail.fill_between(np.arange(1, description.items + 1), description.popularity, color="#1f6feb", alpha=0.15)
    tail.set(
        title="Long tail", xlabel="items, most popular first", ylabel="interactions", xlim=(1, None), ylim=(0, None)
    )
    lengths = description.history_lengths
    edges = np.geomspace(max(1, lengths.min()), lengths.max() + 1, 31)
    histories.hist(lengths, bins=edges.tolist(), color="#1f6feb")
    histories.set(title="History lengths", xlabel="interactions of a user", ylabel="users", xscale="log")
    histories.xaxis.set(
        major_locator=LogLocator(subs=(1, 2, 5)), minor_locator=NullLocator(), major_formatter=ScalarFormatter()
    )
    try:
        figure.savefig(path, dpi=144)
    except (OSError, ValueError) as error:
        raise UserError(f"the plot cannot be written to {path}: {error}; end its name in .png or .svg") from None


def _quantile(share: float) -> str:
    return {0.0: "least", 0.5: "median", 1.0: "most"}.get(share, f"{share:.0%}")


def _period(times: tuple[int, int] | None) -> str:
    if times is None:
        return "none; order alone"
    return " to ".join(datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d") for time in times)


def _known(years: NDArray[np.int64] | None) -> NDArray[np.int64]:
    return np.zeros(0, np.int64) if years is None else years[years > 0]


def _span(years: NDArray[np.int64], items: int) -> str:
    if not len(years):
        return "none"
    unknown = items - len(years)
    return f"{years.min()} to {years.max()}" + (f", unknown for {unknown:,}" if unknown else "")
