"""JSON lines of anybody, by the keys of the fields that count."""

from pathlib import Path
from typing import ClassVar, Literal

from fedkd.data.formats.forms import Head, Part
from fedkd.data.formats.object_form import Objects
from fedkd.data.formats.published import Published
from fedkd.data.sources.guess import Guess, likely_columns


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
        found = likely_columns([*objects[0]], "key") if objects else {}
        return cls._guessed(path, found) if found else None

    def row_parts(self) -> tuple[Part, ...]:
        """Return the form that the keys describe."""
        roles = ("user", "item", "time", "rating", "title", "categories", "year")
        keys = {role: getattr(self, f"{role}_key") for role in roles}
        return (Part((), Objects({role: key for role, key in keys.items() if key}, self.inner_key), telling=False),)
