"""Check-ins of Gowalla and Brightkite, as SNAP publishes them."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.records import Layout

CHECK_INS = Layout({"user": 0, "time": 1, "item": 4}, "\t", header=False)
VALUES = {"user": r"\d+", "time": r"\d{4}-\d\d-\d\dT[\d:]{8}Z", "item": r"[0-9a-f-]+"}


class Gowalla(Published):
    """``loc-gowalla_totalCheckins.txt`` or ``loc-brightkite_totalCheckins.txt``, without a header."""

    summary: ClassVar[str] = "Gowalla or Brightkite check-ins of SNAP: *totalCheckins.txt"
    licence: ClassVar[str] = "Gowalla, Brightkite: no licence is stated; for research (SNAP)"
    homepage: ClassVar[str] = "https://snap.stanford.edu/data/loc-gowalla.html"
    rows: ClassVar[tuple[Part, ...]] = (Part(("*otalCheckins.txt",), Table(CHECK_INS, 5, VALUES), time="iso"),)

    source: Literal["gowalla"] = "gowalla"
