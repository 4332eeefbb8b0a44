"""Next items as the labels of students on clients: what is shown, and that each student learns its own order."""

import numpy as np
import pytest

from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.models.base import score
from fedkd.models.table import MODELS
from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from fedkd.training.cohort import Cohort
from fedkd.training.engine import replicate
from fedkd.training.local import seeded_views, students_scores, train_locally, unseeded_views
from fedkd.training.options import LocalTraining

ITEMS = 12
CATALOGUE = Catalogue.numbered(ITEMS)


def cohort(rows: list[list[int]], owner: list[int]) -> Cohort:
    data = Interactions(np.arange(len(rows)).astype(np.str_), Ragged.from_rows(rows, np.int32), CATALOGUE)
    clients = np.arange(max(owner) + 1)
    return Cohort(clients, np.array(owner), Fold(data, data, data), 0, ({},) * len(clients))


ROWS = [[3, 1, 4, 5, 9], [2], [], [7, 6]]


@pytest.mark.parametrize("seed", range(20))
def test_a_beginning_is_shown_and_the_next_item_is_wanted(seed: int) -> None:
    own = cohort(ROWS, [0, 0, 1, 1])
    streams = [stream(seed, "train", 0, client) for client in range(2)]
    views = seeded_views(own, 3, 0.5, streams, "next-item")
    assert views.lengths.tolist() == [6, 3]
    secret = unseeded_views(own, 0.5, "next-item")
    assert secret.lengths.tolist() == [2, 2]
    for examples in (views, secret):
        for shown, whole in zip(examples.columns["shown"].values, examples.columns["whole"].values, strict=True):
            seen, wanted = (part[part < ITEMS].tolist() for part in (shown, whole))
            history = next(row for row in ROWS if row[: len(seen)] == seen and (seen or not row))
            assert history == seen[:1] or not seen if not wanted else history[len(seen) : len(seen) + 1] == wanted


def test_every_cut_comes_up() -> None:
    views = seeded_views(cohort(ROWS[:1], [0]), 200, 0.5, [stream(0, "train", 0, 0)], "next-item")
    counts = np.bincount((views.columns["shown"].values < ITEMS).sum(1), minlength=6)
    assert counts[0] == counts[5] == 0
    assert (counts[1:5] > 30).all()


@pytest.mark.parametrize("family", ["cnn", "gru", "transformer"])
def test_students_of_one_cohort_learn_each_its_own_order(family: str) -> None:
    """One client's items come in rising, the other's in falling order."""
    rising = [[(s + k) % ITEMS for k in range(4)] for s in range(ITEMS)]
    rows = rising + [row[::-1] for row in rising]
    own = cohort(rows, [0] * ITEMS + [1] * ITEMS)
    model = MODELS.find(family).model_validate({"width": 8}).build(CATALOGUE, 0)
    parameters = replicate(model, 2)
    train_locally(model, parameters, own, LocalTraining(epochs=150, learning_rate=0.02, target="next-item"), 0)
    scores = students_scores(model, parameters, own)
    ends = np.array([row[-1] for row in rows])
    step = np.repeat([1, -1], ITEMS)
    assert scores.shape == (len(rows), ITEMS)
    assert (scores.argmax(1) == (ends + step) % ITEMS).mean() > 0.9
    assert score(model, Ragged.from_rows(rows, np.int32)).shape == scores.shape
