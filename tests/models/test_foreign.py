"""A user's own model, which learns from the catalogue, works in a federation without a change to the package."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.models.base import ModelConfig, Recommender, multi_hot
from fedkd.models.item_table import ItemSum
from fedkd.runs.config import dump, flatten, load, unflatten, validate
from fedkd.runs.federation import federation
from fedkd.testing.models import check_model
from simulations.deployment.prepare import deal_out
from simulations.run import simulate
from tests.simulations.devices import SMALL, placed, served

PATH = f"{__name__}:Own"


class Own(ModelConfig):
    """Settings of a model that adds up what items and their categories mean."""

    width: int = 8

    def untrained(self, catalogue: Catalogue) -> "ByCategory":
        if not catalogue.categories:
            raise UserError("this model needs categories")
        return ByCategory(torch.from_numpy(catalogue.membership.astype(np.float32)), self.width)


class ByCategory(Recommender):
    """Every item is a vector of its own and one of its categories, which come from the catalogue and do not travel."""

    member: Tensor

    def __init__(self, member: Tensor, width: int) -> None:
        super().__init__(len(member))
        self.register_buffer("member", member, persistent=False)
        self.items = ItemSum(len(member), width, 0.3, bias=False)
        self.categories = nn.Parameter(torch.randn(member.shape[1], width) * 0.3)
        self.decoder = nn.Parameter(torch.randn(width, len(member)) * 0.3)

    def hidden(self, history: Tensor) -> Tensor:
        seen = multi_hot(history, self.num_items)
        return torch.tanh(self.items(seen) + seen @ self.member @ self.categories)

    def forward(self, history: Tensor) -> Tensor:
        return self.hidden(history) @ self.decoder


SETTINGS = [
    *SMALL[:3],
    *("algorithm.name=fedavg", f"algorithm.model.family={PATH}", "algorithm.model.width=4", "algorithm.local.epochs=2"),
    *("num-server-rounds=2", "privacy.sums=clear", "runtime.threads=1", "runtime.wait-seconds=0"),
    "evaluation.baselines=[]",
]


def test_it_is_chosen_by_its_place_and_survives_files() -> None:
    config = load(None, SETTINGS)
    assert config.algorithm.model == Own(width=4)  # type: ignore[union-attr]
    assert unflatten(flatten(config)) == validate(dump(config)) == config
    with pytest.raises(UserError, match=r"algorithm\.model\.depth: no such key"):
        load(None, [*SETTINGS, "algorithm.model.depth=2"])
    with pytest.raises(UserError, match=r"must be a complete subclass of fedkd\.models\.base\.ModelConfig"):
        load(None, [*SETTINGS, f"algorithm.model.family={__name__}:ByCategory"])


def test_it_conforms() -> None:
    catalogue = federation(load(None, SETTINGS)).fold.train.catalogue
    check_model(Own(), catalogue)


def test_it_is_trained_in_a_simulation_and_on_devices_that_were_sent_the_catalogue(tmp_path: Path) -> None:
    simulate(load(None, [*SETTINGS, f"runtime.run-folder={json.dumps(str(tmp_path / 'simulated'))}"]))
    deal_out(load(None, SETTINGS), tmp_path / "data")
    served(
        placed(tmp_path / "real", tmp_path / "data", *SETTINGS), tmp_path / "data", node={"allowed-modules": __name__}
    )
    start = Own(width=4).build(federation(load(None, SETTINGS)).fold.train.catalogue, 0)
    simulated, real = (load_file(tmp_path / place / "student.safetensors") for place in ("simulated", "real"))
    assert simulated.keys() == real.keys() == {"items.weight", "categories", "decoder"}
    for name, array in simulated.items():
        np.testing.assert_allclose(real[name], array, atol=1e-4)
        assert np.abs(array - start.state_dict()[name].numpy()).max() > 1e-3
    for place in ("simulated", "real"):
        assert json.loads((tmp_path / place / "summary.json").read_text())["clients"]["failed-answers"] == 0
