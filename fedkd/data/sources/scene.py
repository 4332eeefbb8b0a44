"""Made-up data of the shape of a scene: a shop with prices, news that grow old in days, domains with few common users.

Nothing in it is of a recommender's class. Whoever takes an item has looked at a few that were there at the time, famous
ones more often, and took the one of the greatest random utility: the nearest of the user's favourites counts, and how
well the price fits. Favourites lie near those of a community, in a taste space that all domains share.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.data.sources.base import Source
from fedkd.data.sources.made import MadeOptions
from fedkd.data.sources.synthetic_content import Shelf, describe, draw_shelf
from fedkd.ragged import Ragged, offsets
from fedkd.random_streams import stream

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OPENING = 1_704_067_200
"""The scene opens on 2024-01-01, in seconds since 1970."""
DAY = 86_400
COMMUNITIES, STARS, FAVOURITES = 10, 3, 5
SPREAD = 0.15
"""Standard deviation of a favourite around a star of its community, in every direction of taste space."""
LOOKED_AT = 20
"""Items that are looked at for one that is taken."""
FAME = 0.6
"""Items are looked at in proportion to their fame to this power."""
TASTE, REACH = 8.0, 1.3
"""Utility at a favourite, and the distance from it at which a user still likes an item."""
PRICE = 2.5
"""Utility lost by each step between the price of an item and what a user spends."""
TRIES = 2.5
"""Looks for every item that is wanted, as a pair of user and item counts once."""
CHUNK = 1 << 15
"""Looks whose utilities are in memory at once."""


class SceneOptions(MadeOptions):
    """Size and shape of the data set.

    Attributes
    ----------
    days : float
        How long the scene is watched.
    lifetime_days : float
        How long an item can be had after it appears, at any time; 0: all are there from the beginning, for ever.
    price_tiers : int
        Number of prices, which are categories; 1: prices play no part.
    domains : int
        Number of domains, each with items of its own, such as films and books. They are the users' groups.
    shared_users : float
        Share of the users who take items of every domain; the others have one.
    """

    key: ClassVar[str] = "data.scene"
    bytes_each: ClassVar[tuple[int, int, int]] = (1_000, 500, 1_000)

    users: int = Field(1000, ge=10, le=10**8)
    items: int = Field(800, ge=20, le=10**8)
    mean_history: float = Field(25.0, gt=2)
    days: float = Field(365.0, gt=0, le=10_000)
    lifetime_days: float = Field(0.0, ge=0, le=10_000)
    price_tiers: int = Field(1, ge=1, le=10)
    domains: int = Field(1, ge=1, le=10)
    shared_users: float = Field(0.1, ge=0, le=1)


class Scene(Source):
    """Made by the program in the shape of a shop, of news, of domains with few common users; nothing to clean.

    Attributes
    ----------
    scene : SceneOptions
        Size and shape of the data set.
    """

    group: ClassVar[str] = "made here"
    summary: ClassVar[str] = "in the shape of a shop, news or several domains, made by the program, no download"
    licence: ClassVar[str] = "none needed"
    size: ClassVar[str] = "1,000 users x 800 items, or as you say"
    reads_path: ClassVar[bool] = False

    source: Literal["scene"] = "scene"
    scene: SceneOptions = SceneOptions()

    def read(self) -> Interactions:
        """Return the data set of these options."""
        return generate(self.scene)


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


def generate(options: SceneOptions) -> Interactions:
    """Return the data set; the same options give the same one.

    Parameters
    ----------
    options : SceneOptions
        Its size and shape.

    Returns
    -------
    Interactions
        With times, titles, genres, prices where there are several, ``"text"`` and ``"image"`` vectors, and domains, or
        else communities, as groups. Where items grow old, histories are shorter than asked for, and may be empty.

    Raises
    ------
    UserError
        The mean history exceeds 80 % of the catalogue, or the memory of this machine cannot hold the data.
    """
    options.check_memory()
    seed = options.seed
    lengths = options.lengths(stream(seed, "scene", "activity"))
    stock = _stock(options, stream(seed, "scene", "items"))
    community, people = _people(options, stock, stream(seed, "scene", "people"))
    looks = _looks(options, people, lengths, stream(seed, "scene", "looks"))
    user, item, day = _taken(options, stock, people, looks, stream(seed, "scene", "choice"))
    user, item, day = _first_ones(user, item, day, lengths, options.items)
    return Interactions(
        users=_names("u", options.users),
        histories=Ragged(item.astype(np.int32), offsets(np.bincount(user, minlength=options.users))),
        catalogue=_catalogue(options, stock),
        times=OPENING + (day * DAY).astype(np.int64),
        groups=np.array([f"domain-{d}" for d in people.home] if options.domains > 1 else [f"g{c}" for c in community]),
    )


def _names(letter: str, count: int) -> NDArray[np.str_]:
    return np.array([f"{letter}{number:0{len(str(count - 1))}}" for number in range(count)])


def _stock(options: SceneOptions, rng: np.random.Generator) -> Stock:
    shelf = draw_shelf(options.items, rng)
    domain = shelf.series % options.domains
    # what is there at the opening appeared before it
    born = rng.uniform(-options.lifetime_days, options.days, options.items) if options.lifetime_days else None
    birth = np.zeros(options.items) if born is None else born
    order = np.lexsort((birth, domain))
    price = rng.integers(options.price_tiers, size=options.items)
    ordered = Shelf(*(getattr(shelf, name)[order] for name in ("genre", "series", "style", "appeal", "birth")))
    return Stock(ordered, domain[order], price[order], birth[order])


def _people(options: SceneOptions, stock: Stock, rng: np.random.Generator) -> tuple[Ints, People]:
    """Return the users' communities, and the users."""
    size = np.arange(1, COMMUNITIES + 1) ** -0.5
    community = rng.choice(COMMUNITIES, options.users, p=size / size.sum())
    fame = np.sqrt(stock.shelf.appeal)
    stars = rng.choice(options.items, (COMMUNITIES, STARS), p=fame / fame.sum())
    near = stars[community[:, None], rng.integers(STARS, size=(options.users, FAVOURITES))]
    favourites = stock.shelf.style[near] + SPREAD * rng.standard_normal((*near.shape, stock.shelf.style.shape[1]))
    home = rng.integers(options.domains, size=options.users)
    shared = rng.random(options.users) < options.shared_users
    return community, People(home, shared, favourites, rng.integers(options.price_tiers, size=options.users))


def _looks(options: SceneOptions, people: People, lengths: Ints, rng: np.random.Generator) -> tuple[Ints, Ints, Floats]:
    """Return user, domain and day of every look, in order of users and days."""
    count = np.ceil(TRIES * lengths).astype(np.int64) + 4
    user = np.repeat(np.arange(options.users), count)
    day = rng.uniform(0, options.days, len(user))
    day = day[np.lexsort((day, user))]
    away = people.shared[user] & (rng.random(len(user)) < 0.5)
    domain = np.where(away, rng.integers(options.domains, size=len(user)), people.home[user])
    return user, domain, day


def _taken(
    options: SceneOptions, stock: Stock, people: People, looks: tuple[Ints, Ints, Floats], rng: np.random.Generator
) -> tuple[Ints, Ints, Floats]:
    """Return user, item and day of what is taken, in order; nothing where nothing was there."""
    user, domain, day = looks
    first, last = _window(options, stock, domain, day)
    some = first < last
    user, day, first, last = user[some], day[some], first[some], last[some]
    edges = np.concatenate([[0.0], np.cumsum(stock.shelf.appeal**FAME)])
    item = np.empty(len(user), np.int64)
    for start in range(0, len(user), CHUNK):
        part = slice(start, start + CHUNK)
        low, high = edges[first[part]], edges[last[part]]
        point = low[:, None] + (high - low)[:, None] * rng.random((len(low), LOOKED_AT))
        seen = np.searchsorted(edges, point, side="right") - 1
        seen = np.clip(seen, first[part, None], last[part, None] - 1)
        worth = _utility(stock, people, user[part], seen) + rng.gumbel(size=seen.shape)
        item[part] = seen[np.arange(len(seen)), worth.argmax(1)]
    return user, item, day


def _window(options: SceneOptions, stock: Stock, domain: Ints, day: Floats) -> tuple[Ints, Ints]:
    """Return the range of items of a domain that are there on a day."""
    step = 4 * (options.days + options.lifetime_days + 1)
    births = stock.domain * step + stock.birth
    if not options.lifetime_days:
        return np.searchsorted(stock.domain, domain), np.searchsorted(stock.domain, domain, side="right")
    now = domain * step + day
    return np.searchsorted(births, now - options.lifetime_days), np.searchsorted(births, now, side="right")


def _utility(stock: Stock, people: People, user: Ints, seen: Ints) -> Floats:
    """Return the utility of items for the users who look at them, shape [looks, items]."""
    near = np.full(seen.shape, np.inf)
    for favourite in range(FAVOURITES):
        gap = stock.shelf.style[seen] - people.favourites[user, favourite][:, None]
        near = np.minimum(near, np.einsum("nkd,nkd->nk", gap, gap))
    step = np.abs(stock.price[seen] - people.spends[user][:, None])
    return np.asarray(TASTE * np.exp(-near / (2 * REACH**2)) - PRICE * step)


def _first_ones(user: Ints, item: Ints, day: Floats, lengths: Ints, items: int) -> tuple[Ints, Ints, Floats]:
    """Return what every user takes first, each item once, at most as many as their length says."""
    kept = np.sort(np.unique(user * items + item, return_index=True)[1])
    user, item, day = user[kept], item[kept], day[kept]
    few = np.arange(len(user)) - np.searchsorted(user, user) < lengths[user]
    return user[few], item[few], day[few]


def _catalogue(options: SceneOptions, stock: Stock) -> Catalogue:
    """Return what may be seen of the items; prices are categories."""
    seen = describe(stock.shelf, stream(options.seed, "scene", "content"))
    if options.price_tiers == 1:
        return seen
    names = tuple(f"price-{tier + 1}" for tier in range(options.price_tiers))
    prices = stock.price[:, None] == np.arange(options.price_tiers)
    return replace(seen, categories=(*seen.categories, *names), membership=np.hstack([seen.membership, prices]))
