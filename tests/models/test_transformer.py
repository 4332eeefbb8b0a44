"""The transformer against a loop over positions, and that it never looks ahead."""

import math

import pytest
import torch
from torch import Tensor

from fedkd.data.catalogue import Catalogue
from fedkd.models.transformer import Block, Transformer, TransformerConfig

ITEMS = 20


def small(**given: object) -> Transformer:
    settings = {"width": 6, "heads": 2, "length": 7, **given}
    model = TransformerConfig.model_validate(settings).build(Catalogue.numbered(ITEMS), 0).eval()
    assert isinstance(model, Transformer)
    return model


def normalised(x: Tensor) -> Tensor:
    return (x - x.mean()) / torch.sqrt(x.var(unbiased=False) + 1e-5)


def naive(block: Block, x: list[Tensor]) -> list[Tensor]:
    """Return a block's output position by position, head by head."""
    own, out = block.state_dict(), []

    def layer(name: str, value: Tensor) -> Tensor:
        return own[f"{name}.weight"] @ value + own[f"{name}.bias"]

    for here in range(len(x)):
        heads = []
        for part in (slice(0, 3), slice(3, 6)):
            query = layer("query", normalised(x[here]))[part]
            keys = [layer("key", normalised(x[p]))[part] for p in range(here + 1)]
            powers = [math.exp(float(query @ key) / math.sqrt(3)) for key in keys]
            values = [layer("value", normalised(x[p]))[part] for p in range(here + 1)]
            heads.append(sum(w / sum(powers) * v for w, v in zip(powers, values, strict=True)))
        middle = x[here] + layer("output", torch.cat(heads))  # type: ignore[arg-type]
        out.append(middle + layer("outer", torch.relu(layer("inner", normalised(middle)))))
    return out


def test_states_and_scores_equal_a_naive_loop() -> None:
    model, own = small(), small().state_dict()
    items = [3, 7, 1, 9, 4]
    x = [own["table.weight"][item] + own["place"][2 + p] for p, item in enumerate(items)]
    for layer, block in enumerate(model.blocks, start=1):
        assert isinstance(block, Block)
        x = naive(block, x)
        history = torch.tensor([[ITEMS, *items]])
        if layer < len(model.blocks):
            torch.testing.assert_close(model.positions(history, layer)[0, 1:], torch.stack(x))
    expected = torch.stack([own["table.weight"] @ normalised(state) for state in x])
    torch.testing.assert_close(model.every_score(history)[0, 1:], expected)
    torch.testing.assert_close(model(history)[0], expected[-1])


@pytest.mark.parametrize("changed", range(6))
def test_a_state_sees_no_later_item(changed: int) -> None:
    model = small()
    history = torch.arange(6)[None]
    other = history.clone()
    other[0, changed] = 15
    before, after = model.every_state(history)[0], model.every_state(other)[0]
    assert torch.equal(before[:changed], after[:changed])
    assert (before[changed:] != after[changed:]).any(1).all()


def test_one_table_serves_both_ways_and_is_counted_once() -> None:
    model = small(blocks=1)
    block = 6 * (6 * 6 + 6) + 4 * 6
    assert model.size()[0] == ITEMS * 6 + 7 * 6 + block + 2 * 6
    assert small(blocks=1, items={"tied": False}).size()[0] == model.size()[0] + ITEMS * 6


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="4 does not divide 6"):
        small(heads=4)
