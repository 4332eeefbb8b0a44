"""What devices say of themselves in sums."""

import numpy as np
import pytest

from fedkd.evaluation.device import averaged, users_sums
from fedkd.evaluation.metrics import METRICS
from fedkd.ragged import Ragged


@pytest.mark.parametrize("liar", [-50.0, 50.0])
def test_sums_that_no_users_can_have_say_nothing(liar: float) -> None:
    """Under masks one client can add any number; what is no mean of metrics is not told as one."""
    rows = np.random.default_rng(0).random((20, len(METRICS)))
    sums = users_sums(Ragged(rows.astype(np.float32), np.arange(21)))
    assert averaged(sums.sum(axis=0))["ndcg@20"]["mean"] == pytest.approx(rows[:, 1].mean(), abs=1e-6)
    sums[3, 1] += liar
    assert averaged(sums.sum(axis=0)) == {}
