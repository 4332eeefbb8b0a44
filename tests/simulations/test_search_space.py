"""What a search tries by itself is possible for the catalogue, the public users and the other settings."""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fedkd.gate.search import Choices, Dimension, Range
from fedkd.models.base import ModelConfig
from fedkd.options import Options
from fedkd.protocols.low_rank import has_closed_form
from fedkd.runs.config import changed, load
from fedkd.runs.federation import federation
from simulations.search import space
from tests.simulations.test_run import SMALL

CASES = {
    "closed form": ["algorithm.references=0", "algorithm.panel=0"],
    "references within a panel": ["algorithm.references=20", "algorithm.panel=60"],
    "references of a whole catalogue": ["algorithm.references=40", "algorithm.panel=0"],
    "public histories": ["algorithm.references=6", "algorithm.reference-kind=histories"],
    "ease": ["algorithm.name=federated-ease"],
    "cnn": ["algorithm.model.family=cnn"],
    "tied cnn": ["algorithm.model.family=cnn", "algorithm.model.items.tied=true"],
    "transformer": ["algorithm.model.family=transformer", "algorithm.model.heads=4"],
    "two networks": ["algorithm.name=bidirectional", "algorithm.teacher-model.family=cnn"],
}


def value(wanted: Dimension, place: float, rng: np.random.Generator) -> Any:
    if isinstance(wanted, Choices):
        return wanted.values[rng.integers(len(wanted.values))]
    found = wanted.low * (wanted.high / wanted.low) ** place
    return wanted.step * math.floor(found / wanted.step + 1e-9) if wanted.whole else found


def models(options: Options) -> Iterator[ModelConfig]:
    for name in type(options).model_fields:
        inside = getattr(options, name)
        if isinstance(inside, ModelConfig):
            yield inside
        elif isinstance(inside, Options):
            yield from models(inside)


@pytest.mark.parametrize("case", CASES)
def test_every_corner_of_the_space_is_a_setting(case: str) -> None:
    small = [each for each in SMALL if not each.startswith("algorithm")]
    config = load(None, [*small, "partition.public-fraction=0.3", *CASES[case]])
    setup, rng, searched = federation(config).setup(config), np.random.default_rng(0), space(config)
    for _ in range(8):
        drawn = {each.key: value(each, rng.choice([0.0, 0.5, 1.0]), rng) for each in searched}
        one = changed(config, [f"{key}={json.dumps(number)}" for key, number in drawn.items()]).algorithm
        for model in models(one):
            model.build(setup.public.catalogue, 0)
        if has_closed_form(one):
            one.begin(setup)  # refuses what the data do not allow


def test_the_bounds_leave_what_is_possible() -> None:
    config = load(None, [*SMALL, "algorithm.rank=32", "partition.public-fraction=0.3"])
    ranges = {each.key: each for each in space(config)}
    assert ranges["algorithm.rank"] == Range("algorithm.rank", 6, 79, log=True, whole=True)
    assert ranges["algorithm.references"] == Range("algorithm.references", 4, 34, log=True, whole=True)
    assert ranges["algorithm.panel"] == Range("algorithm.panel", 35, 80, log=True, whole=True)
    heads = {each.key: each for each in space(load(None, [*SMALL[:3], *CASES["transformer"]]))}
    width = Range("algorithm.model.width", 16, 320, log=False, whole=True, step=4)
    assert heads["algorithm.model.width"] == width
    assert "algorithm.rank" not in heads  # the width of a closed form, which this student is not
