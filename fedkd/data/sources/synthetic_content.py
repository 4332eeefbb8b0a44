"""Items of the synthetic data set: the hidden truth about each of them, and the content that a recommender may see."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedkd.data.catalogue import Catalogue

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GENRES = (
    *("action", "adventure", "animation", "children", "comedy", "crime", "documentary", "drama", "fantasy"),
    *("history", "horror", "musical", "mystery", "romance", "science-fiction", "thriller", "war", "western"),
)
HORIZON = 3 * 365 * 86_400
"""Seconds between the opening of the shop and the last new item."""
STYLE = 8
TEXT = 32
IMAGE = 16
ZIPF_EXPONENT = 1.7
ZIPF_HEAD = 0.03
"""Ranks below this share of the catalogue are nearly equally popular: the flattened head."""
ITEMS_PER_SERIES = 4
GENRE_SPREAD = 0.9
SERIES_SPREAD = 0.5
ITEM_SPREAD = 0.3
"""Distances in taste space between genres, the series of a genre, and the items of a series."""
OPENING_STOCK = 0.7
"""Share of the items that are there from the beginning; the others are born later."""


@dataclass(frozen=True)
class Shelf:
    """The hidden truth about the items: why they are shown and liked.

    Attributes
    ----------
    genre, series : ndarray of int64, shape [items]
        Every item's main genre and the series that it is a part of; a series has one genre.
    style : ndarray of float64, shape [items, 8]
        Where the item stands in taste space.
    appeal : ndarray of float64, shape [items]
        How much the item is shown, in proportion: Zipf's law with a flattened head.
    birth : ndarray of int64, shape [items]
        Seconds after the opening; nobody meets an item before.
    """

    genre: Ints
    series: Ints
    style: Floats
    appeal: Floats
    birth: Ints

    @property
    def num_genres(self) -> int:
        """Number of genres; the small catalogues have fewer."""
        return count_genres(len(self.genre))


def count_genres(num_items: int) -> int:
    """Return how many genres a catalogue of this size has."""
    return min(len(GENRES), max(2, num_items // 10))


def draw_shelf(num_items: int, rng: np.random.Generator) -> Shelf:
    """Return the items' hidden truth: series of a genre share style and fame."""
    genres, num_series = count_genres(num_items), max(2, num_items // ITEMS_PER_SERIES)
    share = np.arange(1, genres + 1) ** -0.5
    series_genre = rng.choice(genres, num_series, p=share / share.sum())
    series = rng.integers(num_series, size=num_items)
    genre_centre = GENRE_SPREAD * rng.normal(size=(genres, STYLE))
    centre = genre_centre[series_genre] + SERIES_SPREAD * rng.normal(size=(num_series, STYLE))
    style = centre[series] + ITEM_SPREAD * rng.normal(size=(num_items, STYLE))
    fame = 0.5 * rng.normal(size=num_series)[series] + rng.normal(size=num_items)
    birth = rng.integers(HORIZON, size=num_items) * (rng.random(num_items) >= OPENING_STOCK)
    return Shelf(series_genre[series], series, style, _zipf(fame), birth)


def _zipf(fame: Floats) -> Floats:
    """Return exposure weights that fall with the rank of ``fame``."""
    rank = np.empty(len(fame))
    rank[np.argsort(-fame, kind="stable")] = np.arange(len(fame))
    return np.asarray((rank + 1 + ZIPF_HEAD * len(fame)) ** -ZIPF_EXPONENT)


def describe(shelf: Shelf, rng: np.random.Generator) -> Catalogue:
    """Return what may be seen of the items: ids, titles, genres, a text vector and an image vector."""
    series_word = _words(int(shelf.series.max()) + 1, rng)
    part = _position_in_group(shelf.series)
    titles = [f"{series_word[s]} {p + 1}" if p else series_word[s] for s, p in zip(shelf.series, part, strict=True)]
    width = len(str(len(titles) - 1))
    return Catalogue(
        ids=np.array([f"i{item:0{width}}" for item in range(len(titles))]),
        titles=np.array(titles),
        categories=GENRES[: shelf.num_genres],
        membership=_membership(shelf, rng),
        vectors={"text": _text(shelf, rng), "image": _noisy_view(shelf.style, IMAGE, 1.0, rng)},
    )


def _words(count: int, rng: np.random.Generator) -> list[str]:
    """Return synthetic words of consonants and vowels, all different."""
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    length = 2
    while len(syllables) ** length < 4 * count:
        length += 1
    codes = rng.choice(len(syllables) ** length, count, replace=False)
    digits = codes[:, None] // len(syllables) ** np.arange(length) % len(syllables)
    return ["".join(syllables[d] for d in row).capitalize() for row in digits.tolist()]


def _position_in_group(group: Ints) -> Ints:
    """Return how many earlier items are of the same group, shape [items]."""
    order = np.argsort(group, kind="stable")
    first = np.searchsorted(group[order], group[order])
    position = np.empty(len(group), np.int64)
    position[order] = np.arange(len(group)) - first
    return position


def _membership(shelf: Shelf, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return the main genre of every item, and for a third of them a second one."""
    items = np.arange(len(shelf.genre))
    membership = np.zeros((len(items), shelf.num_genres), bool)
    membership[items, shelf.genre] = True
    second = rng.random(len(items)) < 1 / 3
    membership[items[second], rng.integers(shelf.num_genres, size=int(second.sum()))] = True
    return membership


def _text(shelf: Shelf, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a text embedding: style and genre show in it, the series a little, popularity not."""
    genre = np.eye(shelf.num_genres)[shelf.genre]
    series = rng.normal(size=(int(shelf.series.max()) + 1, 4))[shelf.series]
    return _noisy_view(np.hstack([shelf.style, 2.0 * genre, 0.7 * series]), TEXT, 0.5, rng)


def _noisy_view(truth: Floats, dimensions: int, noise: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a random projection of the truth plus noise, rows of length 1."""
    view = truth @ rng.normal(size=(truth.shape[1], dimensions)) / np.sqrt(truth.shape[1])
    view = view + noise * rng.normal(size=view.shape)
    return np.asarray(view / np.linalg.norm(view, axis=1, keepdims=True), np.float32)
