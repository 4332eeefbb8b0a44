"""The world behind the feedback loop: what users truly want, which no recommender of the package can represent.

How much a user wants an item is a *maximum* of kernels around a few favourites in taste space, plus the item's quality,
plus a part of its own for every pair of user and item that nothing explains, less what they have had enough of.
Favourites are mostly near those of a user's community, and drift. Users meet by themselves what is famous and of the
genres that their community likes. The shelf (genres, series, fame, birth) is that of the synthetic data set.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedkd.data.sources.synthetic_content import HORIZON, Shelf, draw_shelf
from fedkd.errors import UserError
from fedkd.feedback.options import FeedbackOptions
from fedkd.random_streams import stream

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Marks = NDArray[np.bool_]

COMMUNITIES = 8
FAVOURITES = 6
TASTE = 5.0
"""Logits of an item exactly at a favourite."""

REACH = 1.4
"""The distance from a favourite at which a user still likes an item, in units of style."""

BASE = -3.5
"""Logits of an item far from every favourite."""

QUALITY = 0.4
"""Logits of one standard deviation of fame: better items are better known."""

STARS = 4
"""Items that a community likes; its users' favourites are of their series, or next to it in taste."""

SPREAD = 0.2
"""Standard deviation of a favourite around its star, in every direction of taste space."""

OWN = 0.5
"""Standard deviation of what nothing explains, in logits."""

MEETINGS = 40
"""Items that a user meets by themself between two lists."""

FADING = 0.8
"""The share of satiation that is left when the next list is shown."""

LARGEST = 5 * 10**7
"""The most users times items: the truth of every pair is held."""


@dataclass(frozen=True)
class World:
    """Users, items, and the truth about both.

    Attributes
    ----------
    shelf : Shelf
        The items.
    community : ndarray of int64, shape [users]
    favourites : ndarray of int64, shape [users, favourites]
        Items around which a user's liking is high.
    own : ndarray of float32, shape [users, items]
        The part of a user's logits that nothing explains.
    arrival : ndarray of int64, shape [users]
        The iteration from which a user is there.
    born : ndarray of int64, shape [items]
        The iteration from which an item can be had.
    satiation : ndarray of float64, shape [users, genres]
        What a user's logits of a genre have lost.
    options : FeedbackOptions
        How the world changes.
    seed : int
        Its chance.
    """

    shelf: Shelf
    community: Ints
    favourites: Ints
    own: NDArray[np.float32]
    arrival: Ints
    born: Ints
    satiation: Floats
    options: FeedbackOptions
    seed: int

    @classmethod
    def draw(cls, users: int, items: int, options: FeedbackOptions, seed: int) -> "World":
        """Return a new world; a ``UserError`` where the truth of every pair would not fit."""
        if users * items > LARGEST:
            raise UserError(
                f"a feedback loop holds the truth of every pair, at most {LARGEST:,}; {users:,} users x {items:,} "
                "items are more: lower data.synthetic.users or data.synthetic.items"
            )
        rng, shelf = stream(seed, "world"), draw_shelf(items, stream(seed, "world", "items"))
        size = np.arange(1, COMMUNITIES + 1) ** -1.0  # communities of unequal size, so that there are minorities
        community = rng.choice(COMMUNITIES, users, p=size / size.sum())
        late = rng.random(users) < options.newcomers
        arrival = np.where(late, rng.integers(1, options.iterations + 1, users), 0)
        born = np.ceil(shelf.birth / HORIZON * options.iterations).astype(np.int64)
        genres = np.zeros((users, shelf.num_genres))
        own = (OWN * rng.standard_normal((users, items), np.float32)).astype(np.float32)
        world = cls(
            shelf, community, np.zeros((users, FAVOURITES), np.int64), own, arrival, born, genres, options, seed
        )
        favourites = world._favourites(np.repeat(np.arange(users), FAVOURITES), rng)
        return replace(world, favourites=favourites.reshape(users, FAVOURITES))

    @property
    def num_users(self) -> int:
        """Number of users, those who arrive later included."""
        return len(self.community)

    def _favourites(self, users: Ints, rng: np.random.Generator) -> Ints:
        """Return a favourite for every user named: an item near one of the stars of their community."""
        stars = stream(self.seed, "world", "stars").choice(len(self.born), (COMMUNITIES, STARS), p=self._fame())
        star = stars[self.community[users], rng.integers(STARS, size=len(users))]
        wanted = self.shelf.style[star] + SPREAD * rng.standard_normal((len(users), self.shelf.style.shape[1]))
        return np.asarray(_squares(wanted, self.shelf.style).argmin(1))

    def _fame(self) -> Floats:
        fame = np.sqrt(self.shelf.appeal)
        return np.asarray(fame / fame.sum())

    def meetings(self, rng: np.random.Generator) -> Ints:
        """Return the items that every user meets by themself, shape [users, meetings]."""
        genres = stream(self.seed, "world", "genres").normal(size=(COMMUNITIES, self.shelf.num_genres))
        weight = np.exp(genres)[:, self.shelf.genre] * self._fame()
        met = np.empty((self.num_users, MEETINGS), np.int64)
        for community, share in enumerate(weight / weight.sum(1, keepdims=True)):
            own = np.flatnonzero(self.community == community)
            met[own] = rng.choice(len(share), (len(own), MEETINGS), p=share)
        return met

    def attraction(self) -> Floats:
        """Return the probability that a user takes an item they look at, shape [users, items]: the true utility."""
        fame = np.log(self.shelf.appeal)
        quality = QUALITY * (fame - fame.mean()) / fame.std()
        logits = BASE + quality + self._liking() + self.own - self.satiation[:, self.shelf.genre]
        return np.asarray(1 / (1 + np.exp(-logits)))

    def _liking(self) -> Floats:
        apart = _squares(self.shelf.style, self.shelf.style)
        near = np.full((self.num_users, len(self.born)), np.inf)
        for favourite in self.favourites.T:
            np.minimum(near, apart[favourite], out=near)
        return np.asarray(TASTE * np.exp(-near / (2 * REACH**2)))

    def present(self, iteration: int) -> Marks:
        """Return which users are there, shape [users]."""
        return self.arrival <= iteration

    def available(self, iteration: int) -> Marks:
        """Return which items can be had, shape [items]."""
        return self.born <= iteration

    def after(self, user: Ints, item: Ints, rng: np.random.Generator) -> "World":
        """Return the world after users took items: they have had enough of their genres, and some tastes drift."""
        satiation = FADING * self.satiation
        np.add.at(satiation, (user, self.shelf.genre[item]), self.options.satiation)
        drifting = np.flatnonzero(rng.random(self.num_users) < self.options.drift)
        favourites = self.favourites.copy()
        favourites[drifting, rng.integers(FAVOURITES, size=len(drifting))] = self._favourites(drifting, rng)
        return replace(self, favourites=favourites, satiation=satiation)


def _squares(one: Floats, other: Floats) -> Floats:
    """Return the squared distances of every row of one to every row of the other."""
    return np.asarray(np.square(one).sum(1)[:, None] + np.square(other).sum(1) - 2 * one @ other.T)
