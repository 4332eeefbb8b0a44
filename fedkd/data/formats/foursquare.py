"""Foursquare's check-ins, as Dingqi Yang publishes them."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.records import Layout

TIME = "%a %b %d %H:%M:%S %z %Y"
WHEN = r"\w{3} \w{3} \d{2} [\d:]{8} [+-]\d{4} \d{4}"
CITY = Layout({"user": 0, "item": 1, "categories": 3, "time": 7}, "\t", header=False, encoding="latin-1")
WORLD = Layout({"user": 0, "item": 1, "time": 2}, "\t", header=False, encoding="latin-1")
PLACES = Layout({"item": 0, "categories": 3}, "\t", header=False, encoding="latin-1")


class Foursquare(Published):
    """``dataset_TSMC2014_NYC.txt`` or ``_TKY.txt``, or ``dataset_TIST2015_Checkins.txt`` with its places."""

    summary: ClassVar[str] = "Foursquare check-ins: dataset_TSMC2014_*, dataset_TIST2015_*"
    licence: ClassVar[str] = "Foursquare: for research, with citation (D. Yang)"
    homepage: ClassVar[str] = "https://sites.google.com/site/yangdingqi/home/foursquare-dataset"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(("dataset_TSMC2014_*.txt",), Table(CITY, 8, {"user": r"\d+", "time": WHEN}), time=TIME),
        Part(("dataset_TIST2015_Checkins*.txt",), Table(WORLD, 4, {"user": r"\d+", "time": WHEN}), time=TIME),
    )
    items: ClassVar[tuple[Part, ...]] = (Part(("dataset_TIST2015_POIs.txt",), Table(PLACES, 5)),)

    source: Literal["foursquare"] = "foursquare"
