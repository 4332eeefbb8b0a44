"""Next items as hard labels against loops over positions, and that training on them learns an order."""

import numpy as np
import pytest
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.distillation.pipeline import pretrain
from fedkd.models.base import Recommender, score
from fedkd.models.table import MODELS
from fedkd.ragged import Ragged
from fedkd.training.next_item import next_item_losses
from fedkd.training.options import HardLabels, StepTraining

ITEMS = 12
NEXT = HardLabels(target="next-item")
HISTORIES = Ragged.from_rows([[3, 1, 4, 5, 9], [2, 6], [7], []], np.int32)


def model(family: str, **given: object) -> Recommender:
    config = MODELS.find(family).model_validate({"width": 8, **given})
    return config.build(Catalogue.numbered(ITEMS), 0).eval()


@pytest.mark.parametrize("family", ["gru", "transformer"])
@pytest.mark.parametrize("length", [2, 10])
def test_every_position_predicts_the_next_item(family: str, length: int) -> None:
    student = model(family, length=length)
    got = next_item_losses(student, HISTORIES, NEXT, np.random.default_rng(0))
    expected = []
    for row in ([3, 1, 4, 5, 9], [2, 6]):
        shown = row[:-1][-length:]  # what came before is not seen at all
        for end in range(1, len(shown) + 1):
            scores = student(torch.tensor([shown[:end]]))[0]
            expected.append(-torch.log_softmax(scores, -1)[row[-len(shown) :][end - 1]])
    if family == "transformer":  # places are counted from the end of the whole input
        assert got.shape == (len(expected),)
        expected, got = expected[-1:], got[-1:]
    torch.testing.assert_close(got, torch.stack(expected))


def test_models_without_states_predict_one_random_next_item() -> None:
    student, counts = model("cnn"), np.zeros(5, np.int64)
    rows = Ragged.from_rows([[3, 1, 4, 5, 9]], np.int32)
    each = [-torch.log_softmax(student(torch.tensor([[3, 1, 4, 5, 9][:k]]))[0], -1) for k in range(1, 5)]
    known = torch.stack([loss[[1, 4, 5, 9][k]] for k, loss in enumerate(each)]).detach()
    for seed in range(80):
        loss = next_item_losses(student, rows, NEXT, np.random.default_rng(seed)).detach()
        near = (known - loss).abs()
        assert near.min() < 1e-5
        counts[int(near.argmin())] += 1
    assert (counts[:4] > 8).all()


def test_sampled_negatives_share_one_generator() -> None:
    student, labels = model("gru"), HardLabels(target="next-item", negatives=3, calibration=0.5)
    got = next_item_losses(student, HISTORIES, labels, np.random.default_rng(4)).detach()
    drawn = np.random.default_rng(4).integers(0, ITEMS, (5, 3))
    prefixes, following = [[3], [3, 1], [3, 1, 4], [3, 1, 4, 5], [2]], [1, 4, 5, 9, 6]
    power = 0.5 * (3 / 11 - 1) + 1
    for prefix, item, negatives, loss in zip(prefixes, following, drawn, got, strict=True):
        chances = torch.sigmoid(student(torch.tensor([prefix]))[0].detach())
        naive = -power * torch.log(chances[item]) - torch.log(1 - chances[negatives]).sum()
        assert float(loss) == pytest.approx(float(naive) / 4, rel=1e-4)


@pytest.mark.parametrize("family", ["cnn", "gru", "transformer"])
@pytest.mark.parametrize("negatives", [0, 8])
def test_training_on_next_items_learns_what_follows(family: str, negatives: int) -> None:
    """After item ``i`` always comes ``i + 1``: histories start anywhere, so popularity knows nothing."""
    rows = Ragged.from_rows([np.arange(s, s + 5) % ITEMS for s in range(ITEMS)], np.int32)
    labels = HardLabels(target="next-item", negatives=negatives)
    training = StepTraining(steps=100, learning_rate=0.04, labels=labels)
    student = model(family)
    pretrain(student, rows, training, np.random.default_rng(0))
    shown = Ragged.from_rows([[(s + 1) % ITEMS, (s + 2) % ITEMS] for s in range(ITEMS)], np.int32)
    assert (score(student, shown).argmax(1) == (np.arange(ITEMS) + 3) % ITEMS).mean() > 0.9


def test_nothing_to_predict_has_no_gradient() -> None:
    student = model("gru")
    losses = next_item_losses(student, Ragged.from_rows([[3], []], np.int32), NEXT, np.random.default_rng(0))
    losses.mean().backward()
    assert losses.tolist() == [0]


def test_negatives_are_those_of_next_items() -> None:
    with pytest.raises(ValueError, match="set target = next-item"):
        HardLabels(negatives=5)
