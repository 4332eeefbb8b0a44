"""Made-up check-ins: places in cities, and people who visit those near the few places that they start from.

Of the shape of Gowalla as recommenders are compared on it: very sparse, heavy-tailed, and local. Visits fall with the
number of places that are nearer, as they do in 34 cities (Noulas et al., A tale of many cities, PLOS ONE 2012), and
not with the distance: a dense city is a place of many niches.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.data.sources.base import Source
from fedkd.data.sources.made import MadeOptions
from fedkd.ragged import Ragged, offsets
from fedkd.random_streams import stream

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FIRST_DAY = 1_230_768_000
"""The first check-in is on 2009-01-01 or later, in seconds since 1970."""
PLACES_PER_CITY, PLACES_PER_DISTRICT = 100, 12
CITY_WIDTH = 0.1
"""Spread of a city over the root of its number of places; a district's is ``DISTRICT_WIDTH``."""
DISTRICT_WIDTH, MAP_WIDTH = 0.1, 1000.0
LEAST_FAME, FAME_TAIL = 0.5, 1.5
"""Fame of a place: a least one, and a Pareto variable with this exponent."""
NEIGHBOURHOOD = 512
"""Places around a start that are visited because they are near it."""
RANK_EXPONENT, RANK_SHIFT = 0.84, 20
"""Places are visited in proportion to ``(rank + shift)^-exponent`` by rank of their distance, and to their fame."""
STARTS = 6
"""Starts of a user, the first ones more often: home, work, and so on."""
AT_HOME = 0.7
"""Share of a user's other starts that lie in the city of the first one."""
NEAR, IN_CITY = 0.5, 0.3
"""Shares of the visits near the start and anywhere in its city; the others are anywhere."""
STAY = 0.6
"""Probability that the next visit has the same start: such visits are an outing."""
NEXT_VISIT, NEXT_OUTING = (7.8, 1.0), (11.8, 1.2)
"""Mean and spread of the logarithm of the seconds between visits of an outing, and between two outings."""
TRIES = 1.8
"""Visits drawn for every one that is wanted, as a place counts once."""


class CheckInOptions(MadeOptions):
    """Size of the data set."""

    key: ClassVar[str] = "data.check-ins"
    bytes_each: ClassVar[tuple[int, int, int]] = (150, 200, 20 * NEIGHBOURHOOD)

    items: int = Field(800, ge=20, le=10**8)
    mean_history: float = Field(34.4, gt=2)


class CheckIns(Source):
    """Made by the program: a large, sparse and local data set of Gowalla's shape; cleaning has nothing to drop.

    Attributes
    ----------
    check_ins : CheckInOptions
        Size of the data set.
    """

    group: ClassVar[str] = "made here"
    summary: ClassVar[str] = "check-ins at places in cities, made by the program, no download"
    licence: ClassVar[str] = "none needed"
    size: ClassVar[str] = "600 users x 800 places, or as you say"
    reads_path: ClassVar[bool] = False

    source: Literal["check-ins"] = "check-ins"
    check_ins: CheckInOptions = CheckInOptions()

    def read(self) -> Interactions:
        """Return the data set of these options."""
        return generate(self.check_ins)


@dataclass(frozen=True)
class Atlas:
    """The places, those of a city one after the other.

    Attributes
    ----------
    city : ndarray of int64, shape [places]
        Ascending.
    position : ndarray of float64, shape [places, 2]
        Where a place is.
    fame : ndarray of float64, shape [places]
        How much it is visited, in proportion.
    """

    city: Ints
    position: Floats
    fame: Floats

    def anywhere(self, count: int, rng: np.random.Generator) -> Ints:
        """Return places in proportion to their fame."""
        return self._between(np.zeros(count), self._edges[-1], rng)

    def in_city(self, cities: Ints, rng: np.random.Generator) -> Ints:
        """Return a place of every city asked for, in proportion to its fame."""
        first = np.searchsorted(self.city, np.arange(self.city[-1] + 2))
        return self._between(self._edges[first[cities]], self._edges[first[cities + 1]], rng)

    def near(self, starts: Ints, rng: np.random.Generator) -> Ints:
        """Return a place near every start, by rank of the distance and by fame."""
        places, cumulative = self._neighbourhoods
        found = np.searchsorted(cumulative, starts + rng.random(len(starts)), side="right")
        inside = np.minimum(found - starts * places.shape[1], places.shape[1] - 1)
        return np.asarray(places[starts, inside], np.int64)

    @cached_property
    def _edges(self) -> Floats:
        return np.concatenate([[0.0], np.cumsum(self.fame)])

    def _between(self, low: Floats, high: Floats, rng: np.random.Generator) -> Ints:
        found = np.searchsorted(self._edges, low + (high - low) * rng.random(len(low)), side="right") - 1
        return np.minimum(found, len(self.fame) - 1)

    @cached_property
    def _neighbourhoods(self) -> tuple[NDArray[np.int32], Floats]:
        """Return the nearest places of every place, shape [places, k], and flat cumulative shares plus the place."""
        from scipy.spatial import cKDTree  # loaded for this source alone

        count = min(NEIGHBOURHOOD, len(self.fame))
        places = np.asarray(cKDTree(self.position).query(self.position, count)[1], np.int32)
        weights: Floats = (np.arange(count) + RANK_SHIFT) ** -RANK_EXPONENT * self.fame[places]
        shares: Floats = np.cumsum(weights, axis=1)
        shares /= shares[:, -1:]
        shares += np.arange(len(places), dtype=np.float64)[:, None]
        return places, shares.reshape(-1)


def generate(options: CheckInOptions) -> Interactions:
    """Return check-ins; the same options give the same ones.

    Parameters
    ----------
    options : CheckInOptions
        Numbers of users and places, mean history and seed.

    Returns
    -------
    Interactions
        With times, and the users' home cities as groups. A place counts once, so histories are a little shorter than
        asked for; every user has at least 2 interactions.

    Raises
    ------
    UserError
        If the mean history exceeds 80 % of the places, or the memory of this machine cannot hold the data.
    """
    options.check_memory()
    seed = options.seed
    lengths = options.lengths(stream(seed, "check-ins", "activity"))
    atlas = draw_atlas(options.items, stream(seed, "check-ins", "places"))
    starts = _starts(atlas, options.users, stream(seed, "check-ins", "starts"))
    users, places, outings = _visits(atlas, starts, lengths, stream(seed, "check-ins", "visits"))
    counts = np.bincount(users, minlength=options.users)
    width = len(str(options.users - 1))
    return Interactions(
        users=np.array([f"u{user:0{width}}" for user in range(options.users)]),
        histories=Ragged(places.astype(np.int32), offsets(counts)),
        catalogue=Catalogue(np.array([f"p{place:0{len(str(options.items - 1))}}" for place in range(options.items)])),
        times=_times(counts, outings, stream(seed, "check-ins", "times")),
        groups=np.array([f"city-{city}" for city in atlas.city[starts[:, 0]]]),
    )


def draw_atlas(places: int, rng: np.random.Generator) -> Atlas:
    """Return places in cities whose sizes follow Zipf's law, and in the districts of these."""
    share = 1.0 / np.arange(1, max(2, places // PLACES_PER_CITY) + 1)
    city = np.sort(rng.choice(len(share), places, p=share / share.sum()))
    size = np.bincount(city, minlength=len(share))
    districts = np.maximum(1, size // PLACES_PER_DISTRICT)
    town = np.repeat(np.arange(len(share)), districts)
    spread = CITY_WIDTH * np.sqrt(size[town])[:, None]
    middle = MAP_WIDTH * rng.random((len(share), 2))[town] + spread * rng.normal(size=(len(town), 2))
    district = offsets(districts)[city] + (rng.random(places) * districts[city]).astype(np.int64)
    position = middle[district] + DISTRICT_WIDTH * rng.normal(size=(places, 2))
    return Atlas(city, position, LEAST_FAME + rng.pareto(FAME_TAIL, places))


def _starts(atlas: Atlas, users: int, rng: np.random.Generator) -> Ints:
    """Return every user's starts, shape [users, starts]: most in the city of the first."""
    home = atlas.anywhere(users, rng)
    others = atlas.anywhere(users * (STARTS - 1), rng)
    own = rng.random(len(others)) < AT_HOME
    others[own] = atlas.in_city(np.repeat(atlas.city[home], STARTS - 1)[own], rng)
    return np.column_stack([home, others.reshape(users, -1)])


def _visits(atlas: Atlas, starts: Ints, lengths: Ints, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Return user, place and outing of first visits, in order of users, at most as many of a user as the length says.

    Outings rise.
    """
    tries = np.ceil(TRIES * lengths).astype(np.int64) + 6
    user, first = np.repeat(np.arange(len(lengths)), tries), offsets(tries)[:-1]
    start, outing = _stayed(starts, user, first, rng)
    place, how = atlas.near(start, rng), rng.random(len(user))
    city, world = (how >= NEAR) & (how < NEAR + IN_CITY), how >= NEAR + IN_CITY
    place[city] = atlas.in_city(atlas.city[start[city]], rng)
    place[world] = atlas.anywhere(int(world.sum()), rng)
    place[first + 1] += place[first + 1] == place[first]
    place %= len(atlas.fame)
    kept = np.sort(np.unique(user * len(atlas.fame) + place, return_index=True)[1])
    kept = kept[np.arange(len(kept)) - np.searchsorted(user[kept], user[kept]) < lengths[user[kept]]]
    return user[kept], place[kept], outing[kept]


def _stayed(starts: Ints, user: Ints, first: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return start and outing of every visit: those before, or another start of the user's, more often a first one."""
    leaves = rng.random(len(user)) >= STAY
    leaves[first] = True
    law = np.cumsum(1.0 / np.arange(1, STARTS + 1))
    which = np.searchsorted(law, law[-1] * rng.random(len(user)), side="right")
    latest = np.maximum.accumulate(np.where(leaves, np.arange(len(user)), 0))
    return starts[user, np.minimum(which, STARTS - 1)[latest]], latest


def _times(counts: Ints, outings: Ints, rng: np.random.Generator) -> Ints:
    """Return seconds since 1970, rising within every user: most of a day or more between outings, less within one."""
    begins = np.diff(outings, prepend=-1) > 0
    wait = np.where(begins, rng.lognormal(*NEXT_OUTING, len(outings)), rng.lognormal(*NEXT_VISIT, len(outings)))
    elapsed = np.cumsum(1 + wait.astype(np.int64))
    begin = offsets(counts)[:-1]
    arrival = rng.integers(365 * 86_400, size=len(counts))
    return np.asarray(FIRST_DAY + elapsed + np.repeat(arrival - elapsed[begin], counts))
