"""What the machine has to give is read where it is said, limits included."""

from pathlib import Path

import numpy as np
import psutil
import pytest

from fedkd.runs import machine


def limited(folder: Path, most: str, used: str) -> None:
    (folder / "memory.max").write_text(most, encoding="ascii")
    (folder / "memory.current").write_text(used, encoding="ascii")


def test_memory_is_what_is_free_where_no_group_limits_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CONTROL_GROUP", tmp_path)
    limited(tmp_path, "max\n", "5000\n")
    assert machine.available_memory() == pytest.approx(psutil.virtual_memory().available, rel=0.2)


@pytest.mark.parametrize(("used", "left"), [("600", 400), ("1200", 0)])
def test_a_groups_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: str, left: int) -> None:
    monkeypatch.setattr(machine, "CONTROL_GROUP", tmp_path)
    limited(tmp_path, "1000", used)
    assert machine.available_memory() == machine.room_for_arrays() == left


def test_arrays_leave_the_rest_of_a_large_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: 10**12)
    assert machine.room_for_arrays() == machine.ARRAYS_BYTES


def test_the_peak_never_falls() -> None:
    before = machine.peak_memory()
    held = np.ones(2**22)
    assert machine.peak_memory() >= before >= machine.resident_memory() // 2
    assert held.sum() == 2**22


def test_the_disk_of_a_folder_that_is_not_there_yet_is_that_above_it(tmp_path: Path) -> None:
    assert machine.existing(tmp_path / "a" / "b") == tmp_path
    assert machine.free_disk(tmp_path / "a" / "b") == pytest.approx(machine.free_disk(tmp_path), rel=0.1)


def test_a_folder_takes_whole_blocks(tmp_path: Path) -> None:
    empty = machine.disk_usage(tmp_path)
    (tmp_path / "one").write_bytes(b"x")
    assert machine.disk_usage(tmp_path) >= empty + 512
