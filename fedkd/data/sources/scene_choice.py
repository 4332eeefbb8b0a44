"""What people who look for an item in a scene take: the best, to them, of the few that they come upon."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedkd.data.sources.synthetic_content import Shelf

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FAVOURITES = 5
LOOKED_AT = 20
"""Items that are looked at for one that is taken."""
TASTE, REACH = 12.0, 1.3
"""Utility at a favourite, and the distance from it at which a user still likes an item."""
ASIDE = 0.4
"""Utility at a favourite that the session is not about, as a share of what it has otherwise."""
PRICE = 2.5
"""Utility lost by each step between the price of an item and what a user spends."""
TRIES = 12
"""Times that a user looks who comes upon what they have had already; then they take nothing."""
CHUNK = 1 << 15
"""Looks whose utilities are in memory at once."""


@dataclass(frozen=True)
class Stock:
    """The items, ordered by domain and then by birth.

    Attributes
    ----------
    shelf : Shelf
        Their genres, series, styles and fame.
    domain, price : ndarray of int64, shape [items]
    birth : ndarray of float64, shape [items]
        Days after the opening.
    """

    shelf: Shelf
    domain: Ints
    price: Ints
    birth: Floats


@dataclass(frozen=True)
class People:
    """The users.

    Attributes
    ----------
    home : ndarray of int64, shape [users]
        Their domain.
    shared : ndarray of bool, shape [users]
        Whether they take items of every domain.
    favourites : ndarray of float64, shape [users, favourites, 8]
        Points in taste space.
    spends : ndarray of int64, shape [users]
        The price that they look for.
    """

    home: Ints
    shared: NDArray[np.bool_]
    favourites: Floats
    spends: Ints


@dataclass(frozen=True)
class Looks:
    """Moments at which users look for an item, in order of users and time; all of shape [looks].

    Attributes
    ----------
    user, domain : ndarray of int64
        Who looks, and where.
    about : ndarray of int64
        The favourite that the session is about.
    day : ndarray of float64
        Days after the opening.
    """

    user: Ints
    domain: Ints
    about: Ints
    day: Floats

    def where(self, chosen: Ints) -> "Looks":
        """Return some of the looks."""
        return Looks(self.user[chosen], self.domain[chosen], self.about[chosen], self.day[chosen])


def taken(stock: Stock, people: People, looks: Looks, lifetime: float, fame: float, rng: np.random.Generator) -> Ints:
    """Return what is taken.

    Parameters
    ----------
    stock, people, looks : Stock, People, Looks
        The items, the users, and who looks when.
    lifetime : float
        Days for which an item can be had; 0: for ever.
    fame : float
        Items are looked at in proportion to their appeal to this power.
    rng : numpy.random.Generator
        Where chance comes from.

    Returns
    -------
    ndarray of int64, shape [looks]
        The items, -1 where there was none that the user had not had before.
    """
    first, last = _window(stock, looks, lifetime)
    edges = np.concatenate([[0.0], np.cumsum(stock.shelf.appeal**fame)])
    item, waiting = np.full(len(first), -1), np.flatnonzero(first < last)
    for _ in range(TRIES):
        for part in np.array_split(waiting, len(waiting) // CHUNK + 1):
            item[part] = _chosen(stock, people, looks.where(part), edges, (first[part], last[part]), rng)
        waiting = _again(looks.user, item, len(stock.price))
        item[waiting] = -1
    return item


def _chosen(
    stock: Stock, people: People, looks: Looks, edges: Floats, window: tuple[Ints, Ints], rng: np.random.Generator
) -> Ints:
    """Return the best of the items that are looked at, which are there between two positions."""
    (first, last), (low, high) = window, (edges[bound] for bound in window)
    point = low[:, None] + (high - low)[:, None] * rng.random((len(low), LOOKED_AT))
    seen = np.searchsorted(edges, point, side="right") - 1
    seen = np.clip(seen, first[:, None], last[:, None] - 1)
    worth = _utility(stock, people, looks, seen) + rng.gumbel(size=seen.shape)
    return np.asarray(seen[np.arange(len(seen)), worth.argmax(1)])


def _again(user: Ints, item: Ints, items: int) -> Ints:
    """Return where a user takes what they took before."""
    taken = np.flatnonzero(item >= 0)
    kept = np.unique(user[taken] * items + item[taken], return_index=True)[1]
    return np.delete(taken, kept)


def _window(stock: Stock, looks: Looks, lifetime: float) -> tuple[Ints, Ints]:
    """Return the range of items of its domain that are there at every look."""
    if not lifetime:
        return np.searchsorted(stock.domain, looks.domain), np.searchsorted(stock.domain, looks.domain, side="right")
    step = 4 * (np.abs(stock.birth).max() + looks.day.max() + lifetime)
    births, now = stock.domain * step + stock.birth, looks.domain * step + looks.day
    return np.searchsorted(births, now - lifetime), np.searchsorted(births, now, side="right")


def _utility(stock: Stock, people: People, looks: Looks, seen: Ints) -> Floats:
    """Return the utility of items for the users who look at them, shape [looks, items]."""
    liking = np.zeros(seen.shape)
    for favourite in range(FAVOURITES):
        gap = stock.shelf.style[seen] - people.favourites[looks.user, favourite][:, None]
        near = np.exp(-np.einsum("nkd,nkd->nk", gap, gap) / (2 * REACH**2))
        liking = np.maximum(liking, near * np.where(looks.about == favourite, 1.0, ASIDE)[:, None])
    step = np.abs(stock.price[seen] - people.spends[looks.user][:, None])
    return np.asarray(TASTE * liking - PRICE * step)
