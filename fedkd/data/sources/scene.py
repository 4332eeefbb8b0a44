"""Made-up data of the shape of a scene: a shop with prices, news that grow old in days, domains with few common users.

Nothing in it is of a recommender's class. Whoever takes an item has looked at a few that were there at the time, famous
ones more often, and took the one of the greatest random utility: the nearest of the user's favourites counts, and how
well the price fits. Favourites lie near those of a community, in a taste space that all domains share.
"""

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.data.sources.base import Source
from fedkd.data.sources.made import MadeOptions
from fedkd.data.sources.made_sessions import draw_slots, draw_times
from fedkd.data.sources.scene_choice import FAVOURITES, Looks, People, Stock, taken
from fedkd.data.sources.synthetic_content import Shelf, describe, draw_shelf
from fedkd.errors import UserError
from fedkd.ragged import Ragged, offsets
from fedkd.random_streams import stream

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OPENING = 1_704_067_200
"""The scene opens on 2024-01-01, in seconds since 1970."""
DAY = 86_400
COMMUNITIES, STARS = 10, 3
SPREAD = 0.15
"""Standard deviation of a favourite around a star of its community, in every direction of taste space."""


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
    fame : float
        Items are looked at in proportion to their fame to this power.
    session_mean : float
        Mean number of interactions of a session, at most ``mean_history``; 1: every interaction is by itself.
    session_spread : float
        Standard deviation of the logarithm of a session's length; from 1 on its tail is heavy.
    session_gap_seconds : float
        Median time between two interactions of a session. Between sessions lie hours to weeks.
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
    fame: float = Field(0.65, ge=0, le=3)
    session_mean: float = Field(1.0, ge=1)
    session_spread: float = Field(1.0, ge=0, le=3)
    session_gap_seconds: float = Field(60.0, gt=0, le=600)

    def check_sessions(self) -> None:
        """Refuse sessions that are longer than histories, with a ``UserError``."""
        if self.session_mean > self.mean_history:
            raise UserError(
                f"data.scene.session-mean is {self.session_mean:g}, but a user has {self.mean_history:g} interactions "
                "on average: lower it, or raise data.scene.mean-history"
            )


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
        The mean history exceeds 80 % of the catalogue, sessions exceed the mean history, or the memory of this machine
        cannot hold the data.
    """
    options.check_sessions()
    options.check_memory()
    seed = options.seed
    lengths = options.lengths(stream(seed, "scene", "activity"))
    stock = _stock(options, stream(seed, "scene", "items"))
    community, people = _people(options, stock, stream(seed, "scene", "people"))
    looks = _looks(options, people, lengths)
    choice = stream(seed, "scene", "choice")
    item = taken(stock, people, looks, options.lifetime_days, options.fame, choice)
    had = item >= 0
    user, item, day = looks.user[had], item[had], looks.day[had]
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


def _looks(options: SceneOptions, people: People, lengths: Ints) -> Looks:
    """Return who looks when, in which domain and with which favourite in mind."""
    seed = options.seed
    slots = draw_slots(lengths, options.session_mean, options.session_spread, stream(seed, "scene", "sessions"))
    rng, first = stream(seed, "scene", "looks"), np.flatnonzero(slots.begins)
    who, count = slots.user[first], len(first)
    away = people.shared[who] & (rng.random(count) < 0.5)
    domain = np.where(away, rng.integers(options.domains, size=count), people.home[who])
    law = 1.0 / np.arange(1, FAVOURITES + 1)
    about = rng.choice(FAVOURITES, count, p=law / law.sum())
    seconds = draw_times(
        slots, options.users, DAY * options.days, options.session_gap_seconds, stream(seed, "scene", "times")
    )
    return Looks(slots.user, domain[slots.session], about[slots.session], seconds / DAY)


def _catalogue(options: SceneOptions, stock: Stock) -> Catalogue:
    """Return what may be seen of the items; prices are categories."""
    seen = describe(stock.shelf, stream(options.seed, "scene", "content"))
    if options.price_tiers == 1:
        return seen
    names = tuple(f"price-{tier + 1}" for tier in range(options.price_tiers))
    prices = stock.price[:, None] == np.arange(options.price_tiers)
    return replace(seen, categories=(*seen.categories, *names), membership=np.hstack([seen.membership, prices]))
