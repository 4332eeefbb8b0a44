"""The files of Neural Collaborative Filtering (He et al. 2017)."""

from typing import ClassVar, Literal

from fedkd.data.formats.forms import Part
from fedkd.data.formats.published import Published
from fedkd.data.formats.table_form import Table
from fedkd.data.sources.records import Layout

RATINGS = Layout({"user": 0, "item": 1, "rating": 2, "time": 3}, "\t", header=False)
VALUES = {"user": r"\d+", "item": r"\d+", "rating": r"\d+(\.\d+)?", "time": r"\d+"}


class NCFRatings(Published):
    """``NAME.train.rating`` and ``NAME.test.rating``: user, item, rating and time; sampled negatives are not read."""

    group: ClassVar[str] = "files of other programs"
    summary: ClassVar[str] = "NCF: NAME.train.rating, NAME.test.rating"
    homepage: ClassVar[str] = "https://github.com/hexiangnan/neural_collaborative_filtering"
    rows: ClassVar[tuple[Part, ...]] = (
        Part(
            ("*.train.rating", "*.test.rating"),
            Table(RATINGS, 4, VALUES),
            test="*.test.rating",
            time="s",
            telling=False,
        ),
    )

    source: Literal["ncf-ratings"] = "ncf-ratings"
