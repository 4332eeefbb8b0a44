"""Lists with titles: what is listed, in which order, and what a person can read."""

from dataclasses import replace

import numpy as np
import pytest

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.evaluation.recommend import top_items
from fedkd.models.popularity import Popularity
from fedkd.ragged import Ragged

CATALOGUE = Catalogue(np.array(["i0", "i1", "i2", "i3", "i4"]), np.array(["Zero", "Eins", "Два", "三", "Four"]))
MODEL = Popularity(np.array([1.0, 3.0, 2.0, 3.0, 0.0]))


def users(*rows: list[int], catalogue: Catalogue = CATALOGUE) -> Interactions:
    return Interactions(np.arange(len(rows)).astype(str), Ragged.from_rows(list(rows), np.int32), catalogue)


def test_lists_leave_out_the_history_and_order_ties_by_position() -> None:
    table = top_items(MODEL, users([], [1], [0, 1, 2, 3]), 3)
    assert table.columns.tolist() == ["user", "rank", "item", "title", "score"]
    assert table.values.tolist() == [
        [0, 1, "i1", "Eins", 3.0],
        [0, 2, "i3", "三", 3.0],
        [0, 3, "i2", "Два", 2.0],
        [1, 1, "i3", "三", 3.0],
        [1, 2, "i2", "Два", 2.0],
        [1, 3, "i0", "Zero", 1.0],
        [2, 1, "i4", "Four", 0.0],
    ]


def test_batches_do_not_matter_and_long_lists_end_where_items_do() -> None:
    data = users(*([item % 5] for item in range(7)))
    whole = top_items(MODEL, data, 99)
    assert whole.equals(top_items(MODEL, data, 99, batch_size=2))
    assert whole.groupby("user").size().tolist() == [4] * 7


def test_without_titles_or_users_the_table_keeps_its_shape() -> None:
    untitled = top_items(MODEL, users([0], catalogue=replace(CATALOGUE, titles=None)), 2)
    assert untitled["title"].tolist() == ["", ""]
    nobody = top_items(MODEL, users([0]).take(np.zeros(0, np.int64)), 2)
    assert nobody.columns.tolist() == untitled.columns.tolist()
    assert nobody.empty


def test_what_cannot_be_listed_is_a_users_error() -> None:
    with pytest.raises(UserError, match="k is 0"):
        top_items(MODEL, users([0]), 0)
    with pytest.raises(UserError, match="the model scores 5 items and the catalogue has 6"):
        top_items(MODEL, users([0], catalogue=Catalogue.numbered(6)), 1)
