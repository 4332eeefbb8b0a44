"""What a list costs where a model serves."""

import numpy as np
import pytest
import torch

from fedkd.evaluation import cost
from fedkd.evaluation.cost import list_cost, typical
from fedkd.models.popularity import Popularity
from fedkd.ragged import Ragged


class Counting(Popularity):
    """Popularity that counts its calls and the threads that it may use."""

    def __init__(self) -> None:
        super().__init__(np.arange(30))
        self.calls, self.threads = 0, set[int]()

    def forward(self, history: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.threads.add(torch.get_num_threads())
        return super().forward(history)


ONE = Ragged.from_rows([[1, 2, 3]], np.int32)


def test_a_list_is_timed_in_one_thread_often_and_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)
    model = Counting()
    found = list_cost(model, ONE)
    assert model.calls == cost.WARM + cost.REPETITIONS + 1  # and once to count
    assert model.threads == {1, 2}
    assert torch.get_num_threads() == 2
    assert 0 < found.p50 <= found.p95
    assert found.summary() == {"flops": 0, "latency-ms": {"p50": found.p50, "p95": found.p95}}
    monkeypatch.setattr(cost, "SECONDS", 0.0)
    slow = Counting()
    list_cost(slow, ONE)
    assert slow.calls == cost.WARM + 2  # a slow model is timed once at least


def test_the_typical_history_has_the_median_length() -> None:
    rows = Ragged.from_rows([[1], [1, 2, 3, 4, 5], [7, 8, 9], [4, 5, 6], [2, 3, 4, 5]], np.int32)
    assert typical(rows)[0].tolist() == [7, 8, 9]
    assert typical(ONE)[0].tolist() == [1, 2, 3]
