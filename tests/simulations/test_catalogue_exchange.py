"""The catalogue on its way: once to every device, kept there, counted, and never the end of a run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from clients.catalogue import answer_catalogue, with_catalogue
from clients.device import read_device
from fedkd.data.catalogue import FILE, Catalogue
from fedkd.messages import catalogue as messages
from fedkd.messages.catalogue import catalogue_bytes, catalogue_record, read_holding
from fedkd.messages.flower import SCHEMA, packed_record
from fedkd.runs.config import load
from fedkd.runs.federation import federation
from simulations.run import simulate
from tests.simulations.devices import SMALL, DeviceGrid, Tamper, deployed

SETTINGS = ["privacy.sums=clear", "num-server-rounds=1"]
KIND = "query.catalogue"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return federation(load(None, SMALL)).fold.train.catalogue


def counted(place: Path) -> Any:
    return pd.read_parquet(place / "clients.parquet")["catalogue-bytes"].to_numpy()


def told(grid: DeviceGrid) -> int:
    return sum(message.metadata.message_type == KIND for message in grid.seen)


def test_every_device_gets_it_once_and_keeps_it(tmp_path: Path, data: Path, catalogue: Catalogue) -> None:
    assert not list(data.glob(f"client-*/**/{FILE}"))
    first = deployed(tmp_path / "run", data, *SETTINGS)
    devices = [read_device(folder) for folder in data.glob("client-*")]
    assert {with_catalogue(device).data.target.catalogue.fingerprint for device in devices} == {catalogue.fingerprint}
    assert counted(tmp_path / "run").tolist() == [catalogue_bytes(catalogue)] * len(devices)
    again = deployed(tmp_path / "again", data, *SETTINGS)
    assert not counted(tmp_path / "again").any()
    assert (told(first), told(again)) == (2 * len(devices), len(devices))


def test_a_simulation_counts_what_devices_would_be_sent(tmp_path: Path, data: Path, catalogue: Catalogue) -> None:
    deployed(tmp_path / "real", data, *SETTINGS)
    run = f'runtime.run-folder="{tmp_path / "simulated"}"'
    simulate(load(None, [*SMALL, *SETTINGS, run]))
    assert counted(tmp_path / "simulated").tolist() == counted(tmp_path / "real").tolist()
    for place in ("simulated", "real"):
        traffic = json.loads((tmp_path / place / "summary.json").read_text())["traffic"]
        assert traffic["catalogue-bytes-per-client"] == catalogue_bytes(catalogue)
        assert Catalogue.read(tmp_path / place / FILE).fingerprint == catalogue.fingerprint
        (line,) = map(json.loads, (tmp_path / place / "rounds.jsonl").read_text().splitlines())
        assert "catalogue-bytes" not in line["traffic"]


def silent(message: Message) -> Message | None:
    return None if message.metadata.message_type == KIND else message


def nonsense(message: Message) -> Message | None:
    if message.metadata.message_type == KIND:
        message.content = RecordDict({"catalogue": ConfigRecord({"schema": SCHEMA, "fingerprint": [1, 2]})})
    return message


@pytest.mark.parametrize("tamper", [silent, nonsense])
def test_a_node_that_answers_nothing_usable_costs_no_answer(tmp_path: Path, data: Path, tamper: Tamper) -> None:
    deployed(tmp_path / "run", data, *SETTINGS, tampers={0: tamper})
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["clients"]["failed-answers"] == 0
    assert summary["clients"]["answered"] == summary["clients"]["registered"]


@pytest.mark.parametrize(
    "content",
    [
        catalogue_record(Catalogue.numbered(39)),
        packed_record("catalogue", b"nonsense", {"schema": SCHEMA}),
        packed_record("catalogue", Catalogue.numbered(40).to_bytes(), {"schema": SCHEMA + 1}),
        RecordDict({"catalogue": ConfigRecord({"schema": SCHEMA})}),
    ],
)
def test_a_device_takes_no_catalogue_that_is_none(data: Path, content: RecordDict) -> None:
    device = read_device(data / "client-0")
    assert read_holding(answer_catalogue(device, content)) == ""
    assert with_catalogue(device) is device
    good = Catalogue(np.arange(40).astype(str), np.array([f"title {item}" for item in range(40)]))
    assert read_holding(answer_catalogue(device, catalogue_record(good))) == good.fingerprint
    assert read_holding(answer_catalogue(device, content)) == good.fingerprint
    assert read_holding(answer_catalogue(device, RecordDict())) == good.fingerprint
    (device.folder / "state" / FILE).write_bytes(b"damaged")
    assert read_holding(answer_catalogue(device, RecordDict())) == ""
    assert with_catalogue(device) is device


def test_a_device_refuses_a_huge_catalogue_and_goes_on(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.catalogue.check_size", lambda catalogue: None)
    monkeypatch.setattr(messages, "LIMIT", 100)
    deployed(tmp_path / "run", data, *SETTINGS)
    assert not list(data.glob(f"client-*/state/{FILE}"))
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["clients"]["failed-answers"] == 0


def test_simulated_nodes_store_nothing() -> None:
    assert read_holding(answer_catalogue(object(), catalogue_record(Catalogue.numbered(3)))) == ""
