import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkd.ragged import Ragged
from fedkd.random_streams import stream
from fedkd.training.negatives import labelled_pairs, sample_negatives

ITEMS = 12
HISTORIES = st.lists(st.lists(st.integers(0, ITEMS - 1), unique=True), max_size=5)


def draw(positives, clients, per_positive=4):
    return sample_negatives(positives, ITEMS, per_positive, [stream(0, "train", 1, client) for client in clients])


@given(HISTORIES)
def test_negatives_are_four_to_one_and_never_positive(rows):
    positives = Ragged.from_rows(rows, np.int32)
    negatives = draw(positives, range(len(rows)))
    for client, row in enumerate(rows):
        assert len(negatives[client]) == (0 if len(row) == ITEMS else 4 * len(row))
        assert not set(negatives[client]) & set(row)
        assert all(0 <= item < ITEMS for item in negatives[client])


@given(HISTORIES)
def test_a_clients_negatives_do_not_depend_on_the_others(rows):
    together = draw(Ragged.from_rows(rows, np.int32), range(len(rows)))
    for client, row in enumerate(rows):
        alone = draw(Ragged.from_rows([row], np.int32), [client])
        assert np.array_equal(alone[0], together[client])


def test_every_free_item_is_equally_likely():
    negatives = draw(Ragged.from_rows([[0, 5, 6, 11]], np.int32), [0], per_positive=10_000)
    counts = np.bincount(negatives[0], minlength=ITEMS)
    assert set(np.flatnonzero(counts)) == {1, 2, 3, 4, 7, 8, 9, 10}
    # Eight cells of 5,000 with standard deviation 66.
    assert np.abs(counts[counts > 0] - 5_000).max() < 5 * 66


def test_pairs_name_positives_first():
    items, labels = labelled_pairs(
        Ragged.from_rows([[3], [], [1, 2]], np.int32), Ragged.from_rows([[4, 5], [], [0]], np.int64)
    )
    assert [row.tolist() for row in (items[0], items[1], items[2])] == [[3, 4, 5], [], [1, 2, 0]]
    assert [row.tolist() for row in (labels[0], labels[1], labels[2])] == [[1, 0, 0], [], [1, 1, 0]]
    assert labels.values.dtype == np.float32


def test_as_many_streams_as_clients():
    with pytest.raises(ValueError, match="shorter"):
        draw(Ragged.from_rows([[1], [2]], np.int32), [0])
