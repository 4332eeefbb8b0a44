"""Folders of devices and of a server, made where nobody holds all the data."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clients.device import read_device
from clients.prepare import prepare
from clients.student import recommendations
from fedkd.data.catalogue import FILE
from fedkd.errors import UserError
from fedkd.runs.config import Config, load
from fedkd.secure_aggregation.identities import PUBLIC
from server.prepare import prepare as prepare_server
from tests.simulations.devices import placed, served

ITEMS = [f"song {number}" for number in range(12)]
TABLE = ["data.source=table", "data.user-column=who", "data.item-column=what"]
CLIENTS = 4


def table(place: Path, name: str, users: int, items: list[str] = ITEMS) -> Config:
    rng = np.random.default_rng(len(name) + users)
    rows = [(f"{name} {user}", item) for user in range(users) for item in rng.permutation(items)[:8]]
    path = place / f"{name}.csv"
    pd.DataFrame(rows, columns=["who", "what"]).to_csv(path, index=False)
    return load(None, [*TABLE, f"data.path={json.dumps(str(path))}"])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    prepare_server(table(tmp_path, "public", 30), tmp_path / "data" / "server", [])
    catalogue = tmp_path / "data" / "server" / FILE
    for client in range(CLIENTS):
        config = table(tmp_path, f"owner-{client}", 1)
        prepare(config, tmp_path / "data" / f"client-{client}", catalogue, client, CLIENTS)
    return tmp_path


def test_a_run_under_masks_needs_nobody_who_has_seen_all_data(place: Path) -> None:
    keys = sorted(place.glob(f"data/client-*/{PUBLIC}"))
    setup = prepare_server(table(place, "public", 30), place / "data" / "server", keys)
    assert (setup.num_clients, setup.num_private_users) == (CLIENTS, CLIENTS)
    for client in range(CLIENTS):
        told = (place / "data" / "server" / "directory.json").read_bytes()
        (place / "data" / f"client-{client}" / "directory.json").write_bytes(told)
    small = ["algorithm.rank=4", "runtime.wait-seconds=0", "evaluation.baselines=[]"]
    config = placed(place / "run", place / "data", *small, f"privacy.minimum-cohort={CLIENTS}")
    served(config, place / "data", node={"minimum-cohort": CLIENTS})
    counts = json.loads((place / "run" / "summary.json").read_text())["clients"]
    assert (counts["answered"], counts["failed-answers"]) == (CLIENTS, 0)
    found = recommendations(place / "data" / "client-0", 4)
    assert set(found["item"]) <= set(ITEMS)


def test_a_device_renews_its_data_and_keeps_its_key(place: Path) -> None:
    folder, catalogue = place / "data" / "client-0", place / "data" / "server" / FILE
    key, public = (folder / "identity.key").read_bytes(), (folder / PUBLIC).read_bytes()
    fold, unknown = prepare(table(place, "owner-0", 1, [*ITEMS[:3], "unheard of"]), folder, catalogue, 0, CLIENTS)
    assert (len(fold.history) + len(fold.target), unknown) == (3, 1)
    assert ((folder / "identity.key").read_bytes(), (folder / PUBLIC).read_bytes()) == (key, public)
    assert len(read_device(folder).had) == 3
    assert (folder / "identity.key").stat().st_mode & 0o777 == 0o600


def test_items_that_nobody_knows_make_no_device(place: Path) -> None:
    config = table(place, "stranger", 1, [f"other {number}" for number in range(9)])
    with pytest.raises(UserError, match="none of the items"):
        prepare(config, place / "new", place / "data" / "server" / FILE, 0, 1)
    assert not (place / "new").exists()


def test_a_server_takes_every_client_once(place: Path) -> None:
    keys, config = sorted(place.glob(f"data/client-*/{PUBLIC}")), table(place, "public", 30)
    for wrong in (keys[1:], [*keys, keys[0]]):
        with pytest.raises(UserError, match="each once"):
            prepare_server(config, place / "other", wrong)
    (place / "nonsense").write_text("{}")
    with pytest.raises(UserError, match=r"is no identity\.pub"):
        prepare_server(config, place / "other", [place / "nonsense"])
