"""The convolutions against a naive loop, and that they never look ahead."""

import numpy as np
import pytest
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.models.cnn import CausalCNN, CNNConfig
from fedkd.models.linear import LowRank

ITEMS = 30


def small(length: int = 100, skip: bool = False) -> CausalCNN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CausalCNN(Catalogue.numbered(ITEMS), 6 if skip else 5, (4, 6), length, skip=skip).eval()


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("changed", range(8))
def test_a_feature_sees_no_later_item(layer: int, changed: int) -> None:
    model = small()
    history = torch.arange(8)[None]
    other = history.clone()
    other[0, changed] = 20
    before, after = (model.feature_maps(h, layer)[0][0] for h in (history, other))
    assert torch.equal(before[:, :changed], after[:, :changed])
    assert not torch.equal(before[:, changed:], after[:, changed:])


def test_parts_of_a_history_are_scored_as_they_are_alone() -> None:
    history = torch.tensor([[ITEMS, ITEMS, 3, 7, 1, 9, 4], [5, 2, 8, 11, 6, 0, 12]])
    places = torch.tensor([[6, 2, 3], [6, 0, 4]])
    for model in (small(), small(skip=True), LowRank(Catalogue.numbered(ITEMS), 3)):
        found = model.scores_after(history, places)
        for row, part in np.ndindex(2, 3):
            alone = model(history[row : row + 1, : places[row, part] + 1])[0]
            torch.testing.assert_close(found[row, part], alone)


def test_places_count_from_the_end_where_old_items_are_forgotten() -> None:
    model, history = small(length=4), torch.arange(8)[None]
    found = model.scores_after(history, torch.tensor([[7, 6]]))
    torch.testing.assert_close(found[0], torch.cat([model(history[:, 4:]), model(history[:, 4:7])]))


def test_feature_maps_equal_a_naive_loop() -> None:
    model = small()
    history = torch.tensor([[ITEMS, ITEMS, 3, 7, 1, 9, 4]])
    maps = np.zeros((5, 7))
    maps[:, 2:] = model.embedding().detach().numpy()[history[0, 2:]].T
    for layer, dilation in ((0, 1), (1, 2)):
        weight, bias = (p.detach().numpy() for p in model.convolutions[layer].parameters())
        out = np.zeros((len(weight), 7))
        for position in range(2, 7):
            for tap in range(3):
                source = position - (2 - tap) * dilation
                if source >= 0:
                    out[:, position] += weight[:, :, tap] @ maps[:, source]
            out[:, position] = np.maximum(out[:, position] + bias, 0)
        maps = out
        actual, _ = model.feature_maps(history, layer + 1)
        np.testing.assert_allclose(actual[0].detach().numpy(), maps, atol=1e-5)
    expected = maps[:, -1] + maps[:, 2:].mean(1)
    np.testing.assert_allclose(model.hidden(history)[0].detach().numpy(), expected, atol=1e-5)


def test_with_skip_the_items_themselves_join_what_the_convolutions_say_of_them() -> None:
    model, history = small(skip=True), torch.tensor([[ITEMS, 3, 7, 1]])
    last, embedded = model.feature_maps(history, 2)[0][0], model.embedding()[history[0, 1:]]
    expected = last[:, -1] + last[:, 1:].mean(1) + embedded[-1] + embedded.mean(0)
    torch.testing.assert_close(model.hidden(history)[0], expected)


def test_skip_needs_items_as_wide_as_the_last_convolution() -> None:
    with pytest.raises(UserError, match="skip is 8 wide at the input and 32 at the output; set width to 32"):
        CNNConfig(width=8, skip=True).build(Catalogue.numbered(ITEMS), 0)


def test_items_older_than_the_length_are_forgotten() -> None:
    model = small(length=4)
    recent = torch.tensor([[5, 6, 7, 8]])
    long = torch.tensor([[1, 2, 5, 6, 7, 8]])
    torch.testing.assert_close(model(long), model(recent))


def test_the_order_of_the_history_matters() -> None:
    model = small()
    history = torch.tensor([[5, 6, 7, 8]])
    assert not torch.allclose(model(history), model(history.flip(-1)))
