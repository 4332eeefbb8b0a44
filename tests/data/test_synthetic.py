"""The synthetic data set: contracts, statistics, and the order of models that it is calibrated for."""

import numpy as np
import pytest

from fedkd.data.options import SyntheticOptions
from fedkd.data.synthetic import generate
from fedkd.errors import UserError


@pytest.mark.parametrize(
    ("users", "items", "mean"), [(10, 20, 3), (10, 20, 16), (50, 23, 5), (10, 500, 60), (300, 20, 4)]
)
def test_sizes_odd_and_even_keep_the_contract(users: int, items: int, mean: float) -> None:
    data = generate(SyntheticOptions(users=users, items=items, mean_history=mean))
    assert (data.num_users, data.num_items, len(data.histories)) == (users, items, users)
    assert data.histories.values.dtype == np.int32
    assert data.matrix().max() == 1
    assert data.matrix().nnz == len(data)
    assert data.histories.lengths.min() >= 2
    assert data.times is not None
    assert (data.times.dtype, len(data.times)) == (np.int64, len(data))


def test_a_history_longer_than_the_catalogue_is_refused() -> None:
    with pytest.raises(UserError, match=r"mean-history is 60.*only 50 items.*at most 40"):
        generate(SyntheticOptions(users=10, items=50, mean_history=60))


def test_equal_seeds_give_equal_data_and_others_other() -> None:
    first, again, other = (generate(SyntheticOptions(users=40, items=60, mean_history=9, seed=s)) for s in (3, 3, 4))
    assert first.fingerprint == again.fingerprint != other.fingerprint
