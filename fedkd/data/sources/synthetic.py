"""A synthetic data set in which people are shown what is popular and take what they like.

The truth is not of any recommender's class: a user walks through genres (momentum, drift), is shown items in
proportion to their appeal or because they continue a series, and takes the best of what they were shown by a random
utility that is the *maximum* of kernels around a few favourites. Nothing of it is a product of low-rank factors.
Cf. the matching x engagement x popularity mixtures with communities of HYDRA (arXiv 2407.16594).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedkd.data.interactions import Interactions
from fedkd.data.sources.base import Source
from fedkd.data.sources.made import MadeOptions
from fedkd.data.sources.synthetic_content import HORIZON, Floats, Ints, Shelf, describe, draw_shelf
from fedkd.ragged import Ragged, offsets
from fedkd.random_streams import stream

OPENING = 1_577_836_800
"""The shop opens on 2020-01-01, in seconds since 1970."""
COMMUNITIES = 12
FAVOURITES = 8
COMMUNITY_STRENGTH = 1.5
PERSONALITY = 0.6
EXPOSURE = 2.3
"""Items that are shown for every item that is taken."""
MOMENTUM = 0.8
"""Probability that the next item shown is of the same genre."""
FOLLOW = 0.25
"""Probability that the next item shown continues the series."""
TASTE = 6.0
REACH = 1.3
"""The distance from a favourite at which a user still likes an item, in units of style."""


class SyntheticOptions(MadeOptions):
    """Size of the synthetic data set."""

    key: ClassVar[str] = "data.synthetic"
    bytes_each: ClassVar[tuple[int, int, int]] = (700, 2_000, 1_200)


class Synthetic(Source):
    """Made by the program, without a download; cleaning has nothing to drop.

    Attributes
    ----------
    synthetic : SyntheticOptions
        Size of the data set.
    """

    group: ClassVar[str] = "made here"
    summary: ClassVar[str] = "made by the program, no download"
    licence: ClassVar[str] = "none needed"
    size: ClassVar[str] = "600 users x 500 items, or as you say"
    reads_path: ClassVar[bool] = False

    source: Literal["synthetic"] = "synthetic"
    synthetic: SyntheticOptions = SyntheticOptions()

    def read(self) -> Interactions:
        """Return the data set of these options."""
        return generate(self.synthetic)


@dataclass(frozen=True)
class Tastes:
    """The users' hidden truth.

    Attributes
    ----------
    community : ndarray of int64, shape [users]
    genres : ndarray of float64, shape [2, users, genres]
        Cumulative probabilities of the genres early and late in a user's life: tastes drift.
    favourites : ndarray of int64, shape [users, favourites]
        Items around which a user's utility is high.
    """

    community: Ints
    genres: Floats
    favourites: Ints


@dataclass(frozen=True)
class Exposures:
    """Items shown to users, and the times, ordered by user and time; all of shape [exposures]."""

    user: Ints
    item: Ints
    time: Ints

    def where(self, keep: NDArray[np.bool_] | Ints) -> "Exposures":
        """Return some of the exposures."""
        return Exposures(self.user[keep], self.item[keep], self.time[keep])


def generate(options: SyntheticOptions) -> Interactions:
    """Return a synthetic data set; the same options give the same one.

    Parameters
    ----------
    options : SyntheticOptions
        Numbers of users and items, mean history and seed.

    Returns
    -------
    Interactions
        With times, titles, genres, ``"text"`` and ``"image"`` vectors, and the users' communities as groups. Every user
        has at least 2 interactions.

    Raises
    ------
    UserError
        If the mean history exceeds 80 % of the catalogue, or the memory of this machine cannot hold the data.
    """
    options.check_memory()
    seed = options.seed
    lengths = options.lengths(stream(seed, "synthetic", "activity"))
    shelf = draw_shelf(options.items, stream(seed, "synthetic", "items"))
    tastes = _draw_tastes(options.users, shelf, stream(seed, "synthetic", "tastes"))
    shown = _expose(shelf, tastes, lengths, stream(seed, "synthetic", "exposure"))
    shown, is_spare = _with_spares(shown, shelf, lengths, stream(seed, "synthetic", "spares"))
    liking = _liking(shown, shelf, tastes, stream(seed, "synthetic", "choice"))
    taken = shown.where(_best(shown.user, liking - 1e6 * is_spare, lengths))
    width = len(str(options.users - 1))
    return Interactions(
        users=np.array([f"u{user:0{width}}" for user in range(options.users)]),
        histories=Ragged(taken.item.astype(np.int32), offsets(lengths)),
        catalogue=describe(shelf, stream(seed, "synthetic", "content")),
        times=OPENING + taken.time,
        groups=np.array([f"community-{c:02}" for c in tastes.community]),
    )


def _draw_tastes(users: int, shelf: Shelf, rng: np.random.Generator) -> Tastes:
    """Return the users' hidden truth: a community's taste in genres, bent by everyone's own."""
    communities = min(COMMUNITIES, max(2, users // 10))
    size = rng.dirichlet(np.full(communities, 5.0))
    community = rng.choice(communities, users, p=size)
    base = np.log(np.bincount(shelf.genre, shelf.appeal, shelf.num_genres) + 1e-9)
    common = base + COMMUNITY_STRENGTH * rng.normal(size=(communities, shelf.num_genres))
    own = common[community] + PERSONALITY * rng.normal(size=(2, users, shelf.num_genres))
    weights = np.exp(own - own.max(-1, keepdims=True))
    genres = np.cumsum(weights / weights.sum(-1, keepdims=True), -1)
    who = np.repeat(np.arange(users), FAVOURITES)
    late = rng.integers(2, size=len(who))
    favourites = _items_of(shelf, _pick(genres[late, who], rng), rng)
    return Tastes(community, genres, favourites.reshape(users, FAVOURITES))


def _pick(cumulative: Floats, rng: np.random.Generator) -> Ints:
    """Return one category per row of cumulative probabilities."""
    chosen = (cumulative < rng.random((len(cumulative), 1))).sum(1)
    return np.asarray(np.minimum(chosen, cumulative.shape[1] - 1))


def _items_of(shelf: Shelf, genre: Ints, rng: np.random.Generator) -> Ints:
    """Return an item of every genre asked for, in proportion to appeal; any item where a genre has none."""
    order = np.argsort(shelf.genre, kind="stable")
    cumulative = np.cumsum(shelf.appeal[order])
    edges = np.concatenate([[0.0], cumulative])[np.searchsorted(shelf.genre[order], np.arange(shelf.num_genres + 1))]
    low, high = edges[genre], edges[genre + 1]
    empty = high <= low
    low, high = np.where(empty, 0.0, low), np.where(empty, cumulative[-1], high)
    point = low + (high - low) * rng.random(len(genre))
    return np.asarray(order[np.minimum(np.searchsorted(cumulative, point, side="right"), len(order) - 1)])


def _mates_of(shelf: Shelf, items: Ints, rng: np.random.Generator) -> Ints:
    """Return for every item one of its series, possibly itself."""
    order = np.argsort(shelf.series, kind="stable")
    bounds = np.searchsorted(shelf.series[order], np.arange(shelf.series.max() + 2))
    first, size = bounds[shelf.series[items]], np.diff(bounds)[shelf.series[items]]
    return np.asarray(order[first + (size * rng.random(len(items))).astype(np.int64)])


def _expose(shelf: Shelf, tastes: Tastes, lengths: Ints, rng: np.random.Generator) -> Exposures:
    """Return what every user is shown: sessions of one genre, popular items first, series continued."""
    events = np.ceil(EXPOSURE * lengths).astype(np.int64) + 8
    user, starts = np.repeat(np.arange(len(lengths)), events), offsets(events)[:-1]
    age = (np.arange(len(user)) - np.repeat(starts, events)) / np.repeat(events, events)
    begins = rng.random(len(user)) >= MOMENTUM
    begins[starts] = True
    late = (rng.random(len(user)) < age).astype(np.int64)
    genre = np.zeros(len(user), np.int64)
    genre[begins] = _pick(tastes.genres[late[begins], user[begins]], rng)
    item = _items_of(shelf, genre[_latest(begins)], rng)
    leads = begins | (rng.random(len(user)) >= FOLLOW)
    item[~leads] = _mates_of(shelf, item[_latest(leads)][~leads], rng)
    shown = Exposures(user, item, _times(begins, starts, events, rng))
    return _once(shown.where(shown.time >= shelf.birth[item]), len(shelf.genre))


def _latest(marks: NDArray[np.bool_]) -> Ints:
    """Return for every position the last marked one up to it."""
    return np.asarray(np.maximum.accumulate(np.where(marks, np.arange(len(marks)), 0)))


def _times(begins: NDArray[np.bool_], starts: Ints, events: Ints, rng: np.random.Generator) -> Ints:
    """Return seconds after the opening: minutes between items of a session, days between sessions."""
    size = len(begins)
    minutes, days = 60 * rng.lognormal(1.0, 1.0, size), 86_400 * rng.lognormal(0.0, 1.2, size)
    elapsed = np.cumsum(1 + np.where(begins, days, minutes).astype(np.int64))
    arrival = rng.integers(HORIZON, size=len(starts))
    return elapsed + np.repeat(arrival - elapsed[starts], events)


def _once(shown: Exposures, num_items: int) -> Exposures:
    """Return the first exposure of every pair of user and item."""
    _, first = np.unique(shown.user * num_items + shown.item, return_index=True)
    return shown.where(np.sort(first))


def _with_spares(
    shown: Exposures, shelf: Shelf, lengths: Ints, rng: np.random.Generator
) -> tuple[Exposures, NDArray[np.bool_]]:
    """Return the exposures with the whole catalogue added for users who saw too little, and which ones were added."""
    few = np.flatnonzero(np.bincount(shown.user, minlength=len(lengths)) < lengths)
    items = len(shelf.genre)
    spare_user = np.repeat(few, items)
    spare_item = rng.permuted(np.tile(np.arange(items), (len(few), 1)), axis=1).ravel()
    last = np.zeros(len(lengths), np.int64)
    np.maximum.at(last, shown.user, shown.time)
    wait = np.tile(np.arange(1, items + 1), len(few)) * 300
    spare_time = np.maximum(last[spare_user], HORIZON) + wait
    every = Exposures(
        np.concatenate([shown.user, spare_user]),
        np.concatenate([shown.item, spare_item]),
        np.concatenate([shown.time, spare_time]),
    )
    order = np.lexsort((every.time, every.user))
    is_spare = (np.arange(len(order)) >= len(shown.user))[order]
    every = every.where(order)
    _, first = np.unique(every.user * items + every.item, return_index=True)
    first.sort()
    return every.where(first), is_spare[first]


def _liking(shown: Exposures, shelf: Shelf, tastes: Tastes, rng: np.random.Generator) -> Floats:
    """Return a random utility for every exposure: the nearest favourite counts, and chance (Gumbel)."""
    near = np.full(len(shown.user), np.inf)
    for favourite in tastes.favourites.T:
        gap = shelf.style[shown.item] - shelf.style[favourite[shown.user]]
        near = np.minimum(near, np.einsum("nd,nd->n", gap, gap))
    return TASTE * np.exp(-near / (2 * REACH**2)) + rng.gumbel(size=len(near))


def _best(user: Ints, liking: Floats, lengths: Ints) -> Ints:
    """Return the positions of every user's most liked exposures, as many as the history is long, in order."""
    order = np.lexsort((-liking, user))
    first = np.searchsorted(user, np.arange(len(lengths)))
    rank = np.arange(len(user)) - first[user]
    return np.sort(order[rank < lengths[user]])
