"""The central loop's batches and step sizes."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.models.base import Recommender
from fedkd.models.linear import LowRank
from fedkd.training.central import TrainingProgress, Watch, train
from fedkd.training.options import AdamTraining, CentralTraining, StepTraining


@pytest.mark.parametrize(
    "training", [StepTraining(steps=4, batch_size=3), CentralTraining(epochs=2, batch_size=3)], ids=["steps", "epochs"]
)
def test_every_row_is_trained_on_before_any_is_repeated(training: AdamTraining) -> None:
    batches: list[list[int]] = []
    student = LowRank(Catalogue.numbered(3), 1)

    def loss_of(rows: np.ndarray) -> torch.Tensor:
        batches.append(rows.tolist())
        return student.encoder.weight.square().sum()

    train(student, loss_of, 6, training, np.random.default_rng(0))
    assert len(batches) == 4
    assert sorted(batches[0] + batches[1]) == sorted(batches[2] + batches[3]) == list(range(6))


@pytest.mark.parametrize(("decay", "rates"), [(False, [0.4] * 4), (True, [0.4, 0.3, 0.2, 0.1])])
def test_steps_are_as_long_as_the_learning_rate_says(decay: bool, rates: list[float]) -> None:
    student, seen = LowRank(Catalogue.numbered(3), 1), list[torch.Tensor]()

    def loss_of(rows: np.ndarray) -> torch.Tensor:
        seen.append(student.encoder.weight.detach().clone())
        return student.encoder.weight.sum()  # with a constant gradient a step of Adam is as long as the rate

    training = StepTraining(steps=4, learning_rate=0.4, decay=decay)
    train(student, loss_of, 6, training, np.random.default_rng(0))
    seen.append(student.encoder.weight.detach())
    moved = [float((before - after).mean()) for before, after in pairwise(seen)]
    assert moved == pytest.approx(rates, rel=1e-4)


@pytest.mark.parametrize(
    ("patience", "last", "kept"),
    [(0, 12, 8), (1, 6, 2), (2, 12, 8), (9, 12, 8)],
    ids=["never", "soon", "later", "late"],
)
def test_training_stops_after_so_many_reports_without_gain_and_keeps_the_best(
    patience: int, last: int, kept: int
) -> None:
    student, seen, states = LowRank(Catalogue.numbered(3), 1), list[TrainingProgress](), dict[int, torch.Tensor]()
    quality = iter([0.5, 0.4, 0.4, 0.9, 0.1, 0.1])

    def look(model: Recommender) -> float:
        states[2 * len(states) + 2] = student.encoder.weight.detach().clone()
        return next(quality)

    training = StepTraining(steps=12, learning_rate=0.1)
    watch = Watch(2, look, seen.append, patience + (patience == 2))  # two bad reports come before the best
    best = train(student, lambda rows: student.encoder.weight.sum(), 6, training, np.random.default_rng(0), watch)
    assert seen[-1].step == (4 if patience == 1 else last)
    assert best == (0.5 if patience == 1 else 0.9)
    torch.testing.assert_close(student.encoder.weight.detach(), states[kept])
