"""What a server that breaks the rules gets out of devices: nothing that says anything of their histories."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flwr.app import Context, RecordDict
from flwr.supernode.cli.flower_supernode import _parse_args_run_supernode

from clients.__main__ import Connection, supernode
from clients.device import read_device
from clients.node import ClientNode, open_node
from clients.policy import ClientPolicy
from fedkd.data.catalogue import Catalogue
from fedkd.distillation.item_popularity import panel_spec
from fedkd.messages.flower import add_secure, ask_record, read_answer, secure_record, turn_of
from fedkd.messages.types import Asks, mask_bits
from fedkd.models.arrays import export_arrays
from fedkd.privacy.ledger_account import open_ledger
from fedkd.protocols.base import State
from fedkd.protocols.fedavg import FedAvg
from fedkd.runs.config import Config, flatten, load
from fedkd.runs.folder import RunFolder
from fedkd.runs.reach import Address
from fedkd.secure_aggregation import SecureSum
from server.secure import SecureExchange
from server.transport import exchange
from simulations.grid import FIRST_NODE
from tests.simulations.devices import DISTRIBUTED, SMALL, DeviceGrid, deployed

PLAIN = [one for one in SMALL if "rank" not in one]
OWN: dict[str, Any] = {"epsilon": 4.0, "delta": 1e-4}
LOCAL = ["privacy.mode=local", "privacy.epsilon=4", "privacy.delta=1e-4", "privacy.sums=clear"]
MODES = {
    "local": [*LOCAL, "privacy.metrics-share=0.001"],
    "none": [],
    "central": ["privacy.mode=central", *LOCAL[1:3], "privacy.metrics-share=0.001"],
    "distributed": [*DISTRIBUTED, "privacy.metrics-share=0.001"],
}


def told(config: Config, data: Path, kind: str, content: RecordDict, **node: Any) -> str:
    """Return what client 0 says to a message, without the numbers."""
    grid = DeviceGrid(config, data, node=node)
    replies = exchange(grid, kind, {FIRST_NODE: content}, 1)
    if not replies.contents:
        return str(next(m.error.reason for m in grid.seen if m.has_error()))
    configs = replies.contents[FIRST_NODE].config_records
    return "; ".join(str(record.get("detail", record.get("refused", f"an {name}"))) for name, record in configs.items())


def host_of(config: Config, data: Path, client: int = 0) -> ClientNode:
    return open_node(Context(1, 1, {"data-path": str(data / f"client-{client}")}, RecordDict(), flatten(config)))


def bursting(config: Config, item: int) -> dict[str, Any]:
    """Return a student whose scores overflow for exactly the histories that hold an item."""
    arrays = {
        name: np.zeros_like(a, np.float32)
        for name, a in export_arrays(config.algorithm.blank_student(Catalogue.numbered(40))).items()
    }
    arrays["encoder.weight"][item] = 3e38
    arrays["decoder.weight"][:] = 3e38
    return arrays


@pytest.mark.parametrize("mode", MODES)
def test_scores_that_overflow_show_no_history(data: Path, mode: str) -> None:
    config = load(None, [*SMALL, *MODES[mode]])
    held = set(host_of(config, data).holder.held_by(np.array([0]))[1].history.histories[0].tolist())
    answers = set()
    for item in (min(held), min(set(range(40)) - held)):
        content = ask_record(Asks(2, np.array([0]), bursting(config, item)))
        if mode != "local":
            content = add_secure(content, b"", run="never begun", attempt="", round=turn_of(2, "evaluate"))
        answers.add(told(config, data, "evaluate", content, **(OWN if mode == "local" else {})))
    assert len(answers) == 1
    assert mode != "local" or answers == {"an answer"}


def test_under_masks_what_is_not_finite_counts_as_zero_and_nobody_tells(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = FedAvg.ask

    def burst(self: FedAvg, state: State, *args: Any) -> Asks:
        asks = ask(self, state, *args)
        shared = {name: np.full_like(a, 3e38) if a.dtype == np.float32 else a for name, a in asks.shared.items()}
        return Asks(asks.round, asks.clients, shared, asks.own, asks.reference)

    monkeypatch.setattr(FedAvg, "ask", burst)
    monkeypatch.setattr("tests.simulations.devices.SMALL", PLAIN)
    deployed(tmp_path / "run", data, "algorithm.name=fedavg", "num-server-rounds=1")
    record = json.loads((tmp_path / "run" / "rounds.jsonl").read_text().splitlines()[-1])
    assert record["answers"] == record["asked"] == 14


@pytest.mark.parametrize("items", [1, 39, 40, 41])
def test_every_number_that_leaves_has_noise_of_its_own(data: Path, items: int) -> None:
    config = load(None, [*SMALL, *LOCAL, "privacy.panel-share=0.2"])
    grid = DeviceGrid(config, data, node=OWN)
    asks = Asks(0, np.array([0]), {"items": np.array([items])})
    replies = exchange(grid, "train.panel", {FIRST_NODE: ask_record(asks)}, 1)
    node = host_of(config, data)
    guard = node.mechanisms.panel
    assert guard is not None
    specs = node.aggregator(guard, panel_spec(items)).specs
    numbers = read_answer(replies.contents[FIRST_NODE], asks, specs).values["items"]
    assert numbers.shape == (items,)
    assert len(np.unique(numbers)) > items // 2


def test_the_ledger_of_a_device_is_not_the_servers_to_choose(tmp_path: Path, data: Path) -> None:
    said = []
    for number in range(3):
        elsewhere = json.dumps(str(tmp_path / "elsewhere" / f"{number}.ledger"))
        config = load(None, [*PLAIN, *LOCAL, "algorithm.name=fedavg", f"privacy.ledger={elsewhere}"])
        student = export_arrays(config.algorithm.blank_student(Catalogue.numbered(40)))
        said.append(told(config, data, "train", ask_record(Asks(number + 1, np.array([0]), student)), **OWN))
    assert len(open_ledger(data / "client-0" / "privacy.ledger").owners()) == 1
    assert not (tmp_path / "elsewhere").exists()
    assert sum("exhausted" in one for one in said) == 2


def test_students_of_other_settings_are_not_gone_on_with(data: Path) -> None:
    stores = [
        host_of(load(None, [*PLAIN, "algorithm.name=fedavg", *more]), data).store.folder
        for more in ([], ["runtime.threads=2"], ["algorithm.local.epochs=7"], ["privacy.mode=local", *LOCAL[1:3]])
    ]
    assert stores[0] == stores[1]
    assert len(set(stores)) == 3


def test_a_device_without_a_target_answers_as_others_do(data: Path) -> None:
    path = data / "client-0" / "interactions.parquet"
    table = pd.read_parquet(path)
    table[table["part"] != "target"].to_parquet(path, index=False)
    config = load(None, [*SMALL, *LOCAL, "privacy.metrics-share=0.2"])
    content = ask_record(Asks(2, np.array([0]), export_arrays(config.algorithm.blank_student(Catalogue.numbered(40)))))
    assert told(config, data, "evaluate", content, **OWN) == "an answer"


def test_an_interaction_that_stands_twice_in_a_devices_file_counts_once(data: Path) -> None:
    path = data / "client-0" / "interactions.parquet"
    table = pd.read_parquet(path)
    pd.concat([table, table], ignore_index=True).to_parquet(path, index=False)
    for part in vars(read_device(data / "client-0").data).values():
        histories = part.histories
        assert all(len(set(histories[row].tolist())) == len(histories[row]) for row in range(len(histories)))


def test_a_local_epsilon_of_the_servers_opens_no_answer(data: Path) -> None:
    config = load(None, [*SMALL, "privacy.epsilon=1e5", *LOCAL[:1], *LOCAL[2:], "privacy.panel-share=0.2"])
    content = ask_record(Asks(0, np.array([0]), {"items": np.array([40])}))
    assert "under masks alone" in told(config, data, "train.panel", content, clear=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "mode"),
    [("begun", DISTRIBUTED), ("attempt", DISTRIBUTED), ("attempt", []), ("run", DISTRIBUTED), ("run", [])],
)
def test_a_round_is_not_answered_under_the_name_of_another(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, said: str, mode: list[str]
) -> None:
    """The server begins a second cohort without client 0, and calls it the first where the question is asked.

    It says the truth (a run of another name, which a budget does not allow), or that this is another attempt at the
    first run, or it begins the keys under another name than it asks the question under.
    """
    honest, opened = SecureExchange.sum, []

    def greedy(self: SecureExchange, grid: Any, kind: str, asked: Any, aggregator: Any) -> Any:
        first, specs = honest(self, grid, kind, asked, aggregator), aggregator.specs
        nodes = {int(asks.clients[0]): node for node, asks in asked.items() if asks.clients[0] != 0}
        turn, size = turn_of(1, kind), sum(int(np.prod(spec.shape)) for spec in specs.values())
        begun = {"run": self.run if said == "attempt" else "another", "attempt": "2", "round": turn}
        asking = {**begun, "run": self.run} if said == "run" else begun
        total = SecureSum(self.directory, f"{begun['run']}-2", turn, 2, size, mask_bits(specs))
        keys = total.keys(self._phase(grid, "query.keys", nodes, {c: secure_record(b"", **begun) for c in nodes}))
        dealt = {client: secure_record(bundle, **begun) for client, bundle in keys.items()}
        shares = total.shares(self._phase(grid, "query.shares", nodes, dealt))
        questions = {c: add_secure(ask_record(asked[nodes[c]]), one, **asking) for c, one in shares.items()}
        opened.append(self._phase(grid, kind, nodes, questions))
        return first

    monkeypatch.setattr(SecureExchange, "sum", greedy)
    deployed(tmp_path / "run", data, *mode)
    assert opened[0] == {}
    assert RunFolder.open(tmp_path / "run").finished


def test_a_node_may_insist_on_programs_that_someone_signed(tmp_path: Path) -> None:
    """Flower hands every node the server's program, whose terms are then the server's: the option is Flower's mend."""
    way = Connection(Address("127.0.0.1", 1), trusted=tmp_path / "trusted.yaml")
    given = supernode(tmp_path, way, ClientPolicy())
    parsed = _parse_args_run_supernode().parse_args(given[4:])
    assert parsed.trusted_entities == tmp_path / "trusted.yaml"
    assert parsed.insecure
