"""A run that would fill disk or memory is refused before it leaves a trace."""

from pathlib import Path

import pytest

from fedkd.errors import UserError
from fedkd.runs.config import load
from fedkd.runs.federation import federation
from simulations import room
from simulations.folder_size import LINE_BYTES
from simulations.room import check_room, disk_needed, memory_needed

SMALL = ["data.synthetic.users=60", "data.synthetic.items=80", "data.synthetic.mean-history=20", "algorithm.rank=8"]
FEDMD = [*SMALL[:3], "algorithm.name=fedmd", "algorithm.model.width=4"]


def needed(*settings: str) -> tuple[int, int]:
    config = load(None, settings)
    return disk_needed(config, federation(config)), memory_needed(config, federation(config))


def refused(settings: list[str], folder: Path) -> str:
    config = load(None, settings)
    with pytest.raises(UserError) as error:
        check_room(config, federation(config), folder)
    return str(error.value)


def test_a_run_with_room_enough_begins(tmp_path: Path) -> None:
    config = load(None, SMALL)
    check_room(config, federation(config), tmp_path)


def test_a_full_disk_is_said_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_disk", lambda path: 10**6)
    said = refused(SMALL, tmp_path / "run")
    assert "1.0 MB are free" in said
    assert "--out a folder on a larger disk" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("settings", "key"), [(SMALL, "partition.public-fraction"), (FEDMD, "runtime.cohort-size")])
def test_too_little_memory_is_said_with_the_key_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: list[str], key: str
) -> None:
    less = {"partition.public-fraction": f"{key}=0.02", "runtime.cohort-size": f"{key}=4"}[key]
    smaller = load(None, [*settings, less])
    monkeypatch.setattr(room, "available_memory", lambda: memory_needed(smaller, federation(smaller)))
    assert key in refused(settings, tmp_path)
    check_room(smaller, federation(smaller), tmp_path)


def test_students_that_are_kept_count_and_those_that_are_not_do_not() -> None:
    plain, kept = needed(*SMALL)[0], needed(*SMALL, "evaluation.keep-baselines=true")[0]
    assert kept - plain == 54 * 2 * 80 * 8 * 4
    students = [needed(*FEDMD, f"num-server-rounds={rounds}")[0] for rounds in (1, 2, 9)]
    assert students[1] - students[0] > LINE_BYTES
    assert students[2] - students[1] == 7 * LINE_BYTES
