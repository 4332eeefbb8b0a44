"""Last.fm 360K: how often users played artists."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.lastfm import LICENCE
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.records import Layout

PLAYS = Layout({"user": 0, "item": 1, "title": 2, "rating": 3}, "\t", header=False)


class LastFM360K(Published):
    """``usersha1-artmbid-artname-plays.tsv``: an artist is a MusicBrainz id, plays are the ratings.

    Rows of artists without an id are dropped, and counted.
    """

    summary: ClassVar[str] = "Last.fm 360K: users, artists and plays"
    licence: ClassVar[str] = LICENCE
    homepage: ClassVar[str] = "http://ocelma.net/MusicRecommendationDataset/lastfm-360K.html"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(("usersha1-artmbid-artname-plays.tsv",), Table(PLAYS, 4, {"item": "[0-9a-f-]{36}", "rating": r"\d+"})),
    )

    source: Literal["lastfm-360k"] = "lastfm-360k"
