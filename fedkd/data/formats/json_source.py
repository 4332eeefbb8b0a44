"""JSON lines of anybody, by the keys of the fields that count."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.object_form import Objects
from fedkd.data.formats.published import Published


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

    def row_parts(self) -> tuple[Part, ...]:
        """Return the form that the keys describe."""
        roles = ("user", "item", "time", "rating", "title", "categories", "year")
        keys = {role: getattr(self, f"{role}_key") for role in roles}
        return (Part((), Objects({role: key for role, key in keys.items() if key}, self.inner_key), telling=False),)
