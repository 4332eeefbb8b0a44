"""Last.fm 1K: everything that users played, with times."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.lastfm import LICENCE
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.records import Layout

PLAYS = Layout({"user": 0, "time": 1, "item": 4, "title": 5}, "\t", header=False)
VALUES = {"user": r"user_\d+", "time": r"\d{4}-\d\d-\d\dT[\d:]{8}Z"}


class LastFM1K(Published):
    """``userid-timestamp-artid-artname-traid-traname.tsv``: a track is a MusicBrainz id.

    Rows of tracks without an id are dropped, and counted.
    """

    summary: ClassVar[str] = "Last.fm 1K: every play of a track, with times"
    licence: ClassVar[str] = LICENCE
    homepage: ClassVar[str] = "http://ocelma.net/MusicRecommendationDataset/lastfm-1K.html"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(("userid-timestamp-artid-artname-traid-traname.tsv",), Table(PLAYS, 6, VALUES), time="iso"),
    )

    source: Literal["lastfm-1k"] = "lastfm-1k"
