"""Adam is torch's own, to the bit."""

import pytest
import torch
from torch import nn

from fedkd.training.adam import Adam


def model() -> nn.Module:
    layer = nn.Linear(3, 2)
    nn.init.constant_(layer.weight, 0.3)
    nn.init.constant_(layer.bias, -0.1)
    return nn.ModuleDict({"used": layer, "unused": nn.Linear(2, 2)})


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_are_those_of_torchs_class(decay: float) -> None:
    ours, theirs = model(), model()
    mine, torchs = Adam(ours.parameters(), 0.1, decay), torch.optim.Adam(theirs.parameters(), 0.1, weight_decay=decay)
    for step in range(1, 6):
        rows = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
        mine.learning_rate = torchs.param_groups[0]["lr"] = 0.1 / step
        torchs.zero_grad()
        loss = theirs["used"](rows).square().sum()
        loss.backward()
        torchs.step()
        assert mine.step(ours["used"](rows).square().sum()) == float(loss.detach())
        assert torch.equal(ours["used"].weight, theirs["used"].weight)
        assert torch.equal(ours["used"].bias, theirs["used"].bias)
