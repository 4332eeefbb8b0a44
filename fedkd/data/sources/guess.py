"""Guesses of what a file is, and the configuration that reads it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any


class Sure(IntEnum):
    """The certainty of a guess."""

    POSSIBLY = 1
    PROBABLY = 2
    CERTAINLY = 3


@dataclass(frozen=True)
class Guess:
    """A source that can read a file or folder.

    Attributes
    ----------
    source : str
        Its name.
    sure : Sure
        How sure that is.
    path : Path
        The file or folder.
    files : tuple of Path
        The files that are read, those with content too.
    settings : mapping of str to object
        Options of the source besides its path, by key.
    """

    source: str
    sure: Sure
    path: Path
    files: tuple[Path, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


WORDS = {
    "user": ("user", "userid", "useridx", "reviewerid", "customerid", "customer", "username", "uid", "visitorid"),
    "item": ("item", "itemid", "asin", "parentasin", "productid", "product", "businessid", "movieid", "bookid", "isbn"),
    "time": ("time", "timestamp", "date", "datetime", "createdat", "ts", "unixtime", "playedat", "at"),
    "rating": ("rating", "stars", "score", "overall", "bookrating", "weight"),
}
"""Frequent names of columns, without marks and in small letters."""
MORE = {
    "user": ("listener", "reader", "viewer", "member", "person", "who", "sessionid", "session", "u"),
    "item": (
        "track",
        "trackid",
        "song",
        "songid",
        "artist",
        "artistid",
        "film",
        "venueid",
        "newsid",
        "iid",
        "sku",
        "i",
    ),
}
"""Rarer names of columns."""


def likely_columns(names: Sequence[str], ending: str) -> dict[str, str]:
    """Return settings such as ``user_column`` from the names of columns; none where no user or no item is among them.

    Parameters
    ----------
    names : sequence of str
        Names of columns or keys.
    ending : str
        What the settings are called behind the role: ``column`` or ``key``.
    """
    plain = {re.sub(r"[^a-z]", "", name.lower()): name for name in reversed(names)}
    found = {}
    for role, words in WORDS.items():
        name = next((plain[word] for word in (*words, *MORE.get(role, ())) if word in plain), None)
        if name is not None:
            found[f"{role}_{ending}"] = name.strip()
    return found if {f"user_{ending}", f"item_{ending}"} <= found.keys() else {}
