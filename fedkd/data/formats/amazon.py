"""Common parts of the editions of Amazon's reviews."""

from fedkd.data.formats.object_form import Objects
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.records import Layout

LICENCE = "Amazon reviews: no licence is stated; for research (McAuley Lab)"
REVIEW = Objects({"user": "reviewerID", "item": "asin", "rating": "overall", "time": "unixReviewTime"})
"""Reviews of 2014 and 2018."""


def ratings(user: int, item: int) -> Table:
    """Return ratings without a header, whose users and items stand in these columns."""
    columns = {"user": user, "item": item, "rating": 2, "time": 3}
    values = {"user": "A[0-9A-Z]+", "item": "[0-9A-Z]+", "rating": r"[0-5](\.[0-9]+)?", "time": "[0-9]+"}
    return Table(Layout(columns, ",", header=False), 4, values)
