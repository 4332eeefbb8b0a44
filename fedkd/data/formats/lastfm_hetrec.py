"""Last.fm of the HetRec workshop: how often users played artists."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.lastfm import LICENCE
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.records import Layout


class LastFMHetRec(Published):
    """``user_artists.dat``, whose plays are the ratings, and the names of ``artists.dat``."""

    summary: ClassVar[str] = "Last.fm of HetRec 2011: user_artists.dat, artists.dat"
    licence: ClassVar[str] = LICENCE
    homepage: ClassVar[str] = "https://grouplens.org/datasets/hetrec-2011/"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(("user_artists.dat",), Table(Layout({"user": "userID", "item": "artistID", "rating": "weight"}, "\t"))),
    )
    items: ClassVar[tuple[Part, ...]] = (Part(("artists.dat",), Table(Layout({"item": "id", "title": "name"}, "\t"))),)

    source: Literal["lastfm-hetrec"] = "lastfm-hetrec"
