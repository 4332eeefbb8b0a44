"""The student that a device keeps for its owner."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import clients.recommend
from clients.device import read_device
from clients.node import device_node
from clients.policy import ClientPolicy
from clients.student import keep_student, recommendations
from fedkd.errors import UserError
from fedkd.messages.types import Asks
from fedkd.runs.config import load
from simulations.deployment.prepare import deal_out
from tests.simulations.devices import DISTRIBUTED, SMALL, deployed

MODES = {
    "none": [],
    "central": ["privacy.mode=central", "privacy.epsilon=8", "privacy.delta=1e-4"],
    "distributed": DISTRIBUTED,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Devices after a run in mode none."""
    place = tmp_path_factory.mktemp("devices")
    deal_out(load(None, SMALL), place / "data")
    deployed(place / "run", place / "data")
    return place / "data"


@pytest.fixture
def data(folders: Path, tmp_path: Path) -> Path:
    shutil.copytree(folders, tmp_path / "data")
    return tmp_path / "data"


def typed(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(clients.recommend.main)
    found = CliRunner().invoke(app, list(arguments))
    return found.exit_code, found.output


@pytest.mark.parametrize("mode", MODES)
def test_after_a_run_every_device_recommends_what_its_owner_has_not_had(tmp_path: Path, mode: str) -> None:
    deal_out(load(None, SMALL), tmp_path / "data")
    deployed(tmp_path / "run", tmp_path / "data", *MODES[mode])
    for folder in tmp_path.glob("data/client-*"):
        found, had = recommendations(folder, 5), read_device(folder).had
        assert found["rank"].tolist() == [1, 2, 3, 4, 5]
        assert found["title"].str.len().all()
        assert not set(found["item"]) & {f"i{item:02}" for item in had.histories[0].tolist()}
        kept = pd.read_csv(folder / "student" / "recommendations.csv")
        assert kept["item"].tolist()[:5] == found["item"].tolist()


def test_the_students_files_are_their_owners_alone(data: Path) -> None:
    for path in (data / "client-0" / "student").iterdir():
        assert path.name == "model.safetensors" or path.stat().st_mode & 0o077 == 0
    for path in (data / "client-0", data / "client-0" / "student"):
        assert path.stat().st_mode & 0o077 == 0
    assert (data / "client-0" / "interactions.parquet").stat().st_mode & 0o077 == 0


def test_a_later_run_renews_the_student(tmp_path: Path, data: Path) -> None:
    before = recommendations(data / "client-0", 20)["score"].tolist()
    deployed(tmp_path / "run", data, "algorithm.regularisation=5")
    assert recommendations(data / "client-0", 20)["score"].tolist() != before


def test_runs_of_equal_settings_keep_their_students_apart(tmp_path: Path, data: Path) -> None:
    def kept() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (data / "client-0" / "state").glob("*/0/1.safetensors")}

    before = kept()
    deployed(tmp_path / "run", data)
    assert len(before) == 1
    assert len(kept()) == 2
    assert before.items() <= kept().items()
    deployed(tmp_path / "run", data)  # the run that was finished is continued, and nothing new begins
    assert len(kept()) == 2


def test_what_the_owner_has_had_since_is_not_recommended(data: Path) -> None:
    first = int(recommendations(data / "client-0", 1)["item"].iloc[0].removeprefix("i"))
    path = data / "client-0" / "interactions.parquet"
    table = pd.read_parquet(path)
    more = pd.DataFrame({"user": [0], "item": [first], "part": ["history"]})
    pd.concat([table, more], ignore_index=True).to_parquet(path, index=False)
    assert recommendations(data / "client-0", 1)["item"].iloc[0] != f"i{first:02}"


def test_the_command_prints_a_table_with_titles(data: Path) -> None:
    code, said = typed(str(data / "client-0"), "--k", "3")
    found = recommendations(data / "client-0", 3)
    assert code == 0
    assert len(said.strip().splitlines()) == 4
    assert all(title in said for title in found["title"])


def test_a_device_without_a_student_says_how_to_get_one(data: Path) -> None:
    shutil.rmtree(data / "client-0" / "student")
    code, said = typed(str(data / "client-0"))
    assert code == 2
    assert "has no student yet" in said
    assert f"python -m clients {data / 'client-0'}" in " ".join(said.split())


def test_a_damaged_student_is_named(data: Path) -> None:
    (data / "client-0" / "student" / "model.safetensors").write_bytes(b"damaged")
    assert typed(str(data / "client-0"))[0] == 2
    (data / "client-1" / "student" / "run.json").write_text(json.dumps({"round": 1}))
    with pytest.raises(UserError, match="is damaged"):
        recommendations(data / "client-1", 3)
    assert typed(str(data / "client-2"), "--user", "1")[0] == 2


def test_what_goes_wrong_with_a_student_stays_on_the_device(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = device_node(load(None, SMALL), read_device(data / "client-0"), ClientPolicy())
    keep_student(node, Asks(1, node.clients, {"nonsense": np.zeros(3)}))
