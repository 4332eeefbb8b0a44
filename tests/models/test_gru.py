"""The recurrent network against torch's own with the same weights."""

import torch
from torch import nn

from fedkd.data.catalogue import Catalogue
from fedkd.models.gru import GRU, GRUConfig

ITEMS = 20


def small(**given: object) -> GRU:
    model = GRUConfig.model_validate({"width": 6, **given}).build(Catalogue.numbered(ITEMS), 0).eval()
    assert isinstance(model, GRU)
    for name, parameter in model.named_parameters():
        if "bias" in name:
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    return model


def test_states_are_those_of_torch() -> None:
    model, theirs = small(), nn.GRU(6, 6, batch_first=True)
    own = model.state_dict()
    theirs.load_state_dict({f"{name}_l0": own[name] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")})
    history = torch.randint(0, ITEMS, (3, 9))
    expected, _ = theirs(model.table()[history])
    torch.testing.assert_close(model.every_state(history), expected)
    torch.testing.assert_close(model(history), expected[:, -1] @ own["head.weight"].T + own["head.bias"])


def test_the_state_begins_with_the_first_item_and_forgets_beyond_the_length() -> None:
    model = small(length=4)
    padded = torch.tensor([[ITEMS, ITEMS, 3, 5], [ITEMS] * 4])
    states = model.every_state(padded)
    assert torch.equal(states[0, 1], torch.zeros(6))
    torch.testing.assert_close(states[:1, 2:], model.every_state(torch.tensor([[3, 5]])))
    torch.testing.assert_close(model(padded)[1], model.state_dict()["head.bias"])
    torch.testing.assert_close(model(torch.tensor([[9, 1, 2, 3, 4]])), model(torch.tensor([[1, 2, 3, 4]])))
