"""A trained model beside a linear one that stays as it is."""

import numpy as np
import pytest
import torch
from scipy import sparse

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.models.base import padded_histories, parts_of
from fedkd.models.cnn import CNNConfig
from fedkd.models.decayed_linear import SparseDecayed
from fedkd.models.flops import flops
from fedkd.models.linear import LowRank
from fedkd.models.wide_deep import WideDeep
from fedkd.ragged import Ragged
from fedkd.training.adam import Adam

ITEMS = 20
HISTORIES = padded_histories(Ragged.from_rows([[3, 1, 7, 2], [5], [0, 9, 4]], np.int32), ITEMS)
DEEP = CNNConfig(width=6, channels=(4, 6), length=3)


def sparse_part():
    weights = sparse.random_array((2 * ITEMS, ITEMS), density=0.2, format="csr", rng=np.random.default_rng(0))
    return SparseDecayed(weights, np.array([0.1, 1.0]))


def both(linear=None):
    return WideDeep(linear or sparse_part(), DEEP.build(Catalogue.numbered(ITEMS), 0), gain=1.5)


def test_scores_are_those_of_both_parts():
    model = both()
    wide = model.wide.model(HISTORIES).detach().numpy()
    by_hand = 1.5 * (wide - wide.mean(1, keepdims=True)) / wide.std(1, keepdims=True)
    expected = by_hand + model.deep(HISTORIES).detach().numpy()
    np.testing.assert_allclose(model(HISTORIES).detach().numpy(), expected, atol=1e-5)


def test_scores_after_parts_are_those_of_the_parts_though_the_deep_part_looks_at_fewer_items():
    model = both()
    places = torch.tensor([[3, 2], [3, 3], [3, 2]])
    parts = model(parts_of(HISTORIES, places, ITEMS)).reshape(3, 2, ITEMS)
    deep = model.deep.scores_after(HISTORIES, places) - model.deep(parts_of(HISTORIES, places, ITEMS)).reshape(3, 2, -1)
    torch.testing.assert_close(model.scores_after(HISTORIES, places), parts + deep)
    assert model.reach == 3


@pytest.mark.parametrize("linear", [sparse_part(), LowRank(Catalogue.numbered(ITEMS), 3)])
def test_training_moves_the_deep_part_and_the_gain_alone(linear):
    model = both(linear)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    Adam(model.parameters(), 0.1).step(model(HISTORIES).square().mean())
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert "gain" in moved
    assert {name.split(".")[0] for name in moved} == {"gain", "deep"}


def test_features_are_those_of_the_deep_part_and_sizes_add_up():
    model = both()
    torch.testing.assert_close(model.features(HISTORIES), model.deep.features(HISTORIES))
    sizes = [model.wide.model.size(), model.deep.size(), (1, 4)]
    assert model.size() == tuple(map(sum, zip(*sizes, strict=True)))
    assert flops(model, HISTORIES) == flops(model.wide.model, HISTORIES) + flops(model.deep, HISTORIES)


def test_parts_of_two_catalogues_are_refused():
    with pytest.raises(UserError, match="scores 20 items, the deep part 4"):
        WideDeep(sparse_part(), DEEP.build(Catalogue.numbered(4), 0), 1.0)
