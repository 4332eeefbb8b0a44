"""Binary cross entropy against a loop over pairs."""

import math

import pytest

from fedkd.losses.binary import binary_cross_entropy, generalised_binary_cross_entropy
from tests.losses.naive import numbers


def test_every_pair_is_the_cross_entropy_of_its_label() -> None:
    logits, labels = numbers(0, 20), numbers(1, 20).sigmoid()
    labels[:2] = 0
    labels[2:4] = 1
    for z, y, loss in zip(logits.tolist(), labels.tolist(), binary_cross_entropy(logits, labels), strict=True):
        p = 1 / (1 + math.exp(-z))
        assert float(loss) == pytest.approx(-(y * math.log(p) + (1 - y) * math.log(1 - p)))


@pytest.mark.parametrize("calibration", [0.0, 0.5, 1.0])
def test_the_power_of_the_positive_makes_up_for_negatives_that_were_not_drawn(calibration: float) -> None:
    positive, negatives = numbers(0, 4), numbers(1, 4, 3)
    rate = 3 / 99
    power = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    losses = generalised_binary_cross_entropy(positive, negatives, 100, calibration)
    for z, others, loss in zip(positive.tolist(), negatives.tolist(), losses, strict=True):
        naive = -power * math.log(1 / (1 + math.exp(-z)))
        naive -= sum(math.log(1 - 1 / (1 + math.exp(-n))) for n in others)
        assert float(loss) == pytest.approx(naive / 4)
