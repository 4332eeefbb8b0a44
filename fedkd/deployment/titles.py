"""Items by what a person types: an id, a title, or something like a title."""

import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.data.catalogue import Catalogue

BUCKETS = 1 << 14
"""Columns that the hashed groups of three letters fall on."""

LIKENESS = 0.3
"""Least share of common groups of letters (Dice 1945) at which a title is offered."""

YEAR = re.compile(r"\s*\(\d{4}\)\s*$")
ARTICLE = re.compile(r"^(.*), (the|a|an|le|la|les|el|il|der|die|das)$")
OTHER = re.compile(r"[^\w]+")


def plain(title: str) -> str:
    """Return a title as it is compared: small letters without accents, signs and release year, the article in front."""
    text = ARTICLE.sub(r"\2 \1", YEAR.sub("", _unaccented(title)))
    return OTHER.sub(" ", text).strip()


class Titles:
    """The items of a catalogue, found by id or title.

    Parameters
    ----------
    catalogue : Catalogue
        The items; without titles their ids stand for them.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.ids: list[str] = catalogue.ids.tolist()
        self.shown: list[str] = self.ids if catalogue.titles is None else catalogue.titles.tolist()
        self.position = {item: position for position, item in enumerate(self.ids)}
        self.plain = [plain(title) for title in self.shown]
        self.full = [OTHER.sub(" ", _unaccented(title)).strip() for title in self.shown]

    def exact(self, text: str) -> int | None:
        """Return the item that a text is the id or, alone of all, the title of; a release year is not needed."""
        if text in self.position:
            return self.position[text]
        for known, asked in ((self.full, OTHER.sub(" ", _unaccented(text)).strip()), (self.plain, plain(text))):
            same = [position for position, title in enumerate(known) if title == asked]
            if len(same) == 1 and asked:
                return same[0]
        return None

    def search(self, text: str, k: int = 10) -> list[int]:
        """Return the items that a text may mean, likeliest first: same title, beginning, words inside, likeness."""
        asked = plain(text)
        if not asked:
            return []
        inside = [
            position for position, title in enumerate(self.full) if asked in title or asked in self.plain[position]
        ]
        inside.sort(
            key=lambda position: (not self.plain[position].startswith(asked), len(self.plain[position]), position)
        )
        return (inside or self._alike(asked, k))[:k]

    def _alike(self, asked: str, k: int) -> list[int]:
        query = _letters([asked])
        common = np.asarray((self._table @ query.T).todense()).ravel().astype(float)
        share = 2 * common / (self._counts + query.sum())
        best = np.argsort(-share, kind="stable")[:k]
        return [int(position) for position in best if share[position] >= LIKENESS]

    @cached_property
    def _table(self) -> sparse.csr_array:
        return _letters(self.plain)

    @cached_property
    def _counts(self) -> NDArray[np.float64]:
        return np.asarray(self._table.sum(axis=1)).ravel().astype(float)


def _letters(texts: Sequence[str]) -> sparse.csr_array:
    """Return which groups of three letters every text has, shape [texts, buckets]."""
    sets = [{zlib.crc32(group.encode()) % BUCKETS for group in _groups(f"  {text} ")} for text in texts]
    columns = np.array([column for found in sets for column in sorted(found)], np.int64)
    starts = np.cumsum([0, *map(len, sets)])
    return sparse.csr_array((np.ones(len(columns), np.int32), columns, starts), shape=(len(texts), BUCKETS))


def _groups(text: str) -> Iterable[str]:
    return (text[start : start + 3] for start in range(len(text) - 2))


def _unaccented(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
