"""A device imports no module that its owner has not allowed."""

import json
import sys
from pathlib import Path

import pytest
from flwr.app import RecordDict

from clients.policy import ClientPolicy
from fedkd.errors import UserError
from fedkd.registry import only_modules
from fedkd.runs.config import load
from server.transport import exchange
from simulations.deployment.prepare import deal_out
from simulations.grid import FIRST_NODE
from tests.simulations.devices import SMALL, DeviceGrid, configured, deployed

OWN = ["algorithm.name=tests.protocols.foreign:MeanScores", "algorithm.clip=3"]
PLAIN = [one for one in SMALL if "rank" not in one]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tests.simulations.devices.SMALL", PLAIN)
    deal_out(load(None, PLAIN), tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize("allowed", ["tests.protocols.foreign", "other tests"])
def test_a_protocol_of_a_module_that_owners_allow_runs(tmp_path: Path, data: Path, allowed: str) -> None:
    deployed(tmp_path / "run", data, *OWN, **{"allowed-modules": allowed})
    counts = json.loads((tmp_path / "run" / "summary.json").read_text())["clients"]
    assert counts["answered"] == 14
    assert counts["failed-answers"] == 0


@pytest.mark.parametrize("allowed", ["", "tests.protocols.foreign.more", "test", "tests.protocol"])
def test_another_protocol_gets_no_answer(tmp_path: Path, data: Path, allowed: str) -> None:
    grid = DeviceGrid(configured(tmp_path / "run", data, *OWN), data, node={"allowed-modules": allowed})
    for kind in ("query.whoami", "train"):
        assert not exchange(grid, kind, {FIRST_NODE: RecordDict()}, 1).contents
    told = [message.error.reason for message in grid.seen]
    assert len(told) == 2
    assert all("--allow-module tests.protocols.foreign" in reason for reason in told)


@pytest.mark.parametrize("key", ["algorithm.name", "privacy.mode", "data.source"])
def test_what_is_refused_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    (tmp_path / "treacherous.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with only_modules(["mine"]), pytest.raises(UserError, match="--allow-module treacherous"):
        load(None, [f"{key}=treacherous:Class"])
    assert "treacherous" not in sys.modules


def test_classes_of_the_package_are_always_allowed() -> None:
    with only_modules([]):
        assert load(None, ["algorithm.name=fedavg"]).algorithm.name == "fedavg"


def test_a_policy_takes_its_modules_to_the_node_and_back() -> None:
    policy = ClientPolicy(modules=("mine", "ours.protocols"))
    pairs = (pair.partition("=") for pair in policy.node_config().replace("mine ours", "mine,ours").split())
    node = {key: json.loads(value.replace(",", " ")) for key, _, value in pairs}
    assert ClientPolicy.of_node(node) == policy
