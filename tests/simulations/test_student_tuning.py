"""A student tuned for itself: what is tried, and what is chosen."""

from dataclasses import replace

import numpy as np
import pytest

from fedkd.models.base import score
from fedkd.protocols.base import Protocol, Setup
from fedkd.protocols.iterated import Iterated
from fedkd.protocols.residual import Residual
from fedkd.protocols.table import PROTOCOLS
from fedkd.runs.config import load
from fedkd.runs.federation import federation
from simulations import student_tuning as tuning
from simulations.student_tuning import chosen, number, tuned, variations

SMALL = [
    "data.synthetic.users=60",
    "data.synthetic.items=40",
    "data.synthetic.mean-history=12",
    "partition.public-fraction=0.5",
    "algorithm.rank=8",
]


@pytest.fixture(scope="module")
def setup() -> Setup:
    config = load(None, SMALL)
    return federation(config).setup(config)


@pytest.mark.parametrize("kind", [*PROTOCOLS], ids=lambda kind: kind.__name__)
def test_every_protocol_names_settings_that_it_has_and_its_own_values_first(kind: type[Protocol]) -> None:
    protocol = kind()
    for name in protocol.tunable:
        tried = list(variations(protocol, name))
        assert tried[0] == protocol
        assert len({*tried}) > 1


def test_a_value_out_of_its_range_is_not_tried() -> None:
    protocol = Iterated.model_validate({"pretraining": {"visible": 0.8}})
    seen = [other.pretraining.visible for other in variations(protocol, "pretraining.visible")]
    assert seen == pytest.approx([0.8, 0.4])


def test_the_best_of_every_setting_is_kept_and_ties_leave_things_as_they_are(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = Residual(rank=8, regularisation=100.0)
    best = {"regularisation": 50.0, "rank": 4}
    tried: list[Residual] = []

    def quality(candidate: Residual, *_: object) -> float:
        tried.append(candidate)
        return sum(getattr(candidate, name) == value for name, value in best.items())

    monkeypatch.setattr(tuning, "_quality", quality)
    found = tuned(protocol, setup)
    assert chosen(protocol, found) == best
    assert len(tried) == len({*tried}) <= number(protocol)
    monkeypatch.setattr(tuning, "_quality", lambda *_: 0.0)
    assert tuned(protocol, setup) == protocol


def test_a_part_of_public_histories_chooses_and_the_rest_teaches(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Setup] = []
    whole = Residual.undistilled

    def undistilled(self: Residual, given: Setup) -> object:
        shown.append(given)
        return whole(self, given)

    monkeypatch.setattr(Residual, "undistilled", undistilled)
    found = tuned(Residual(rank=8), setup)
    assert all(len(given.public) < 0.9 * len(setup.public) for given in shown)
    assert all(given == replace(setup, public=given.public) for given in shown)
    assert found.rank in (2, 4, 8)


def test_a_student_alone_learns_nothing_from_private_users(setup: Setup) -> None:
    protocol = Residual(rank=4)
    other = replace(setup, num_clients=7, num_private_users=7)
    models = [protocol.undistilled(given) for given in (setup, other)]
    scores = [score(model, setup.public.histories) for model in models if model is not None]
    assert np.array_equal(*scores)
