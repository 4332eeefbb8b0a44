"""Steam's reviews, and the games in the libraries of Australian users, as the McAuley Lab publishes them."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.object_form import Objects
from fedkd.data.formats.published import Published

OWNER = {"user": "user_id", "item": "item_id"}


class Steam(Published):
    """``steam_reviews.json``, or ``australian_users_items.json``, or ``australian_user_reviews.json``; and the games.

    A line is a Python dictionary. A library has no times, and the dates of Australian reviews are not read.
    """

    summary: ClassVar[str] = "Steam: steam_reviews.json or australian_*.json"
    licence: ClassVar[str] = "Steam: no licence is stated; for research (McAuley Lab)"
    homepage: ClassVar[str] = "https://cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(("steam_reviews*.json",), Objects({"user": "username", "item": "product_id", "time": "date"}), time="iso"),
        Part(("australian_users_items*.json",), Objects({**OWNER, "title": "item_name"}, "items")),
        Part(("australian_user_reviews*.json",), Objects(OWNER, "reviews")),
    )
    items: ClassVar[tuple[Part, ...]] = (
        Part(
            ("*steam_games*.json",),
            Objects({"item": "id", "title": "app_name", "categories": "genres", "year": "release_date"}),
        ),
    )

    source: Literal["steam"] = "steam"
