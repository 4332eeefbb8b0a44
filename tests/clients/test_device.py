"""A device's folder: read once, and again when a file in it has changed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clients.device import Device, read_device, write_device
from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.ragged import Ragged
from fedkd.secure_aggregation import Identity
from fedkd.secure_aggregation.identities import write_identity


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    parts = [
        Interactions(np.array(["u0", "u1"]), Ragged.from_rows(rows, np.int32), Catalogue.numbered(5))
        for rows in ([[3, 1], [0]], [[3, 1, 4], [0]], [[2], []])
    ]
    write_device(tmp_path / "device", 7, 9, Fold(*parts))
    return tmp_path / "device"


def rows(device: Device, part: str) -> list[list[int]]:
    histories = getattr(device.data, part).histories
    return [histories[user].tolist() for user in range(len(histories))]


def test_what_was_written_is_read(folder: Path) -> None:
    device = read_device(folder)
    assert (device.client, device.registered, device.identity) == (7, 9, None)
    assert [rows(device, part) for part in ("train", "history", "target")] == [
        [[3, 1], [0]],
        [[3, 1, 4], [0]],
        [[2], []],
    ]
    assert [device.had.histories[user].tolist() for user in range(2)] == [[3, 1, 4, 2], [0]]
    assert device.data.train.times is None


def test_times_stay_with_their_items(folder: Path) -> None:
    fold = read_device(folder).data
    times = [70 + np.arange(len(getattr(fold, part))) for part in ("train", "history", "target")]
    parts = (fold.train, fold.history, fold.target)
    write_device(folder, 7, 9, Fold(*(replace(part, times=time) for part, time in zip(parts, times, strict=True))))
    again = read_device(folder).data
    assert rows(read_device(folder), "history") == [[3, 1, 4], [0]]
    for part, time in zip((again.train, again.history, again.target), times, strict=True):
        np.testing.assert_array_equal(part.times, time)


def test_files_are_read_again_only_when_one_of_them_has_changed(folder: Path) -> None:
    first = read_device(folder)
    assert read_device(folder) is first
    write_identity(folder, Identity.generate())
    keyed = read_device(folder)
    assert keyed.identity is not None
    path = folder / "interactions.parquet"
    table = pd.read_parquet(path)
    table[table["item"] != 4].to_parquet(path, index=False)
    assert rows(read_device(folder), "history") == [[3, 1], [0]]
    write_device(folder, 8, 9, keyed.data)
    assert read_device(folder).client == 8


@pytest.mark.parametrize("damage", ["no column", "no table", "no sizes", "other items"])
def test_a_damaged_folder_is_named(folder: Path, damage: str) -> None:
    path = folder / "interactions.parquet"
    table = pd.read_parquet(path)
    if damage == "no column":
        table.drop(columns="part").to_parquet(path, index=False)
    elif damage == "other items":
        table.assign(item=table["item"] + 2).to_parquet(path, index=False)
    elif damage == "no table":
        path.write_bytes(b"no table")
    else:
        (folder / "device.json").unlink()
    with pytest.raises(UserError, match=str(folder)):
        read_device(folder)
