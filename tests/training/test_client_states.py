from pathlib import Path

import numpy as np
import pytest

from fedkd.errors import UserError
from fedkd.training.client_states import StateStore


def test_states_come_back_by_client_and_round(tmp_path: Path) -> None:
    store, clients = StateStore(tmp_path / "states"), np.array([3, 7])
    assert store.load(clients, 1) == ({}, {})
    for number in (1, 2, 3):
        store.save(clients, [{"w": np.full((2, 2), number)}, {}], number)
    assert store.load(clients, 4)[0]["w"].tolist() == [[3, 3], [3, 3]]
    assert store.load(clients, 3)[0]["w"].tolist() == [[2, 2], [2, 2]]
    assert store.load(clients, 4)[1] == {}


def test_a_round_asked_again_begins_from_the_same_state(tmp_path: Path) -> None:
    store, clients = StateStore(tmp_path), np.array([0])
    store.save(clients, [{"w": np.array([1.0])}], 1)
    for attempt in (2.0, 3.0):
        assert store.load(clients, 2)[0]["w"].tolist() == [1.0]
        store.save(clients, [{"w": np.array([attempt])}], 2)
    assert store.load(clients, 3)[0]["w"].tolist() == [3.0]


def test_only_two_rounds_stay_on_disk(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    for number in range(1, 9):
        store.save(np.array([0]), [{"w": np.zeros(1)}], number)
    assert sorted(path.stem for path in (tmp_path / "0").iterdir()) == ["7", "8"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    store.save(np.array([5]), [{"w": np.zeros(3)}], 1)
    (tmp_path / "5" / "1.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="client 5"):
        store.load(np.array([5]), 2)


def test_a_number_stays_a_number(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    store.save(np.array([0]), [{"round": np.array(3), "rows": np.zeros((2, 3)).T}], 1)
    (state,) = store.load(np.array([0]), 2)
    assert int(state["round"]) == 3
    assert state["rows"].shape == (3, 2)
