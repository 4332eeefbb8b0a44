"""JSON lines of anybody, by the keys of the fields that count."""

import re
from pathlib import Path
from typing import ClassVar, Literal

from fedkd.data.formats.forms import Head, Part
from fedkd.data.formats.json_lines import Object
from fedkd.data.formats.object_form import Objects
from fedkd.data.formats.published import Published
from fedkd.data.sources.guess import Guess

WORDS = {
    "user": ("user", "userid", "reviewerid", "customerid", "username", "who", "listener", "reader", "member", "uid"),
    "item": (
        "item",
        "itemid",
        "asin",
        "productid",
        "businessid",
        "movieid",
        "bookid",
        "track",
        "trackid",
        "songid",
        "iid",
    ),
    "time": ("time", "timestamp", "date", "datetime", "createdat", "ts", "at", "unixtime", "playedat"),
    "rating": ("rating", "stars", "score", "overall"),
}
"""What fields are often called, without marks and in small letters."""


def _likely(found: Object, words: tuple[str, ...]) -> str:
    """Return the key that is called as the first of these words that there is."""
    plain = {re.sub(r"[^a-z]", "", key.lower()): key for key in found}
    return next((plain[word] for word in words if word in plain), "")


class JSONLines(Published):
    """One JSON object a line.

    Attributes
    ----------
    user_key, item_key, time_key, rating_key : str
        Keys of the fields; an empty string means that there is none.
    title_key, categories_key, year_key : str
        Keys of what a line tells of its item; the first line of an item counts.
    inner_key : str
        Key of a list of objects, each of which is a row; the line's own object has what they lack.
    """

    group: ClassVar[str] = "your own files"
    summary: ClassVar[str] = "JSON lines, by their keys"

    source: Literal["json-lines"] = "json-lines"
    user_key: str = "user"
    item_key: str = "item"
    time_key: str = ""
    rating_key: str = ""
    title_key: str = ""
    categories_key: str = ""
    year_key: str = ""
    inner_key: str = ""

    @classmethod
    def guess(cls, path: Path) -> Guess | None:
        """Say which keys of the first object are called as users, items, times and ratings often are."""
        if not path.is_file():
            return None
        objects = Head(path).objects
        keys = {role: _likely(objects[0], words) for role, words in WORDS.items()} if objects else {}
        found = {f"{role}_key": key for role, key in keys.items() if key}
        return cls._guessed(path, found) if {"user_key", "item_key"} <= found.keys() else None

    def row_parts(self) -> tuple[Part, ...]:
        """Return the form that the keys describe."""
        roles = ("user", "item", "time", "rating", "title", "categories", "year")
        keys = {role: getattr(self, f"{role}_key") for role in roles}
        return (Part((), Objects({role: key for role, key in keys.items() if key}, self.inner_key), telling=False),)
