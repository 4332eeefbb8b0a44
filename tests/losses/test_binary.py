"""Binary cross entropy against a loop over pairs."""

import math

import pytest

from fedkd.losses.binary import binary_cross_entropy
from tests.losses.naive import numbers


def test_every_pair_is_the_cross_entropy_of_its_label() -> None:
    logits, labels = numbers(0, 20), numbers(1, 20).sigmoid()
    labels[:2] = 0
    labels[2:4] = 1
    for z, y, loss in zip(logits.tolist(), labels.tolist(), binary_cross_entropy(logits, labels), strict=True):
        p = 1 / (1 + math.exp(-z))
        assert float(loss) == pytest.approx(-(y * math.log(p) + (1 - y) * math.log(1 - p)))
