import getpass
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkd.atomic_file import replace_file
from fedkd.errors import UserError
from fedkd.runs import folder as runs
from fedkd.runs.config import Config, RuntimeOptions
from fedkd.runs.folder import RunFolder


def lying_at(path: Path) -> RuntimeOptions:
    return RuntimeOptions(run_folder=path)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", Config(name="trial", seed=3))


def test_a_new_run_is_complete_from_the_start(folder: RunFolder) -> None:
    assert RunFolder.open(folder.path).config() == Config(name="trial", seed=3, runtime=lying_at(folder.path))
    text = (folder.path / "config.toml").read_text()
    assert "num-server-rounds" in text  # defaults are written too
    told = " ".join(line[2:] for line in text.splitlines() if line.startswith("# "))
    assert told == folder.config().promise
    assert folder.read_json("environment.json")["packages"]["fedkd"]
    assert folder.lines("privacy.jsonl")[0]["mode"] == "none"
    assert not folder.finished


def test_the_environment_names_nobody(folder: RunFolder) -> None:
    text = (folder.path / "environment.json").read_text()
    assert str(Path.home()) not in text
    assert f'"{getpass.getuser()}"' not in text


def test_a_run_is_never_overwritten(folder: RunFolder) -> None:
    with pytest.raises(UserError, match=r"holds a run already.*--resume"):
        RunFolder.create(folder.path, Config())


def test_a_run_lies_where_its_folder_is(folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.path.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert RunFolder.open(Path("moved")).config().runtime == lying_at(tmp_path / "moved")


@pytest.mark.parametrize("name", ["rounds.jsonl", "checkpoint"])
def test_a_run_is_not_begun_among_what_another_left(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="holds a run already"):
        RunFolder.create(tmp_path, Config())
    assert not (tmp_path / "config.toml").exists()


def test_death_while_a_run_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever file it meets, a folder with a configuration holds the run's name too."""
    whole = {"environment.json", "privacy.jsonl", "config.toml"}
    for count in range(3):
        with monkeypatch.context() as context:
            fails_after(count, context)
            with pytest.raises(OSError, match="full"):
                RunFolder.create(tmp_path, Config())
        assert not (tmp_path / "config.toml").exists()
    assert RunFolder.create(tmp_path, Config()).run
    assert {path.name for path in tmp_path.iterdir()} == whole
    assert len(RunFolder(tmp_path).lines("privacy.jsonl")) == 1


def fails_after(count: int, patch: pytest.MonkeyPatch) -> None:
    """Let the disk be full once so many files are written."""
    written: list[Path] = []

    def write(path: Path, data: bytes, mode: int = 0o666) -> None:
        if len(written) == count:
            raise OSError("full")
        written.append(path)
        replace_file(path, data, mode)

    patch.setattr(runs, "replace_file", write)


@pytest.mark.parametrize("content", [None, "", "{}\n", "[]\n", '{"run": "torn'])
def test_a_run_that_lost_its_name_says_what_to_do(folder: RunFolder, content: str | None) -> None:
    (folder.path / "privacy.jsonl").unlink()
    if content is not None:
        (folder.path / "privacy.jsonl").write_text(content)
    with pytest.raises(UserError, match=r"privacy\.jsonl does not say.*restore the file.*--out"):
        _ = folder.run


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.toml"):
        RunFolder.open(tmp_path)


@given(st.integers(0, 40))
def test_a_torn_line_is_left_out_and_does_not_spoil_the_next(cut: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder(Path(name))
        for number in (1, 2):
            folder.append("rounds.jsonl", {"round": number})
        text = (folder.path / "rounds.jsonl").read_bytes()
        (folder.path / "rounds.jsonl").write_bytes(text[: max(0, len(text) - cut)])
        kept = folder.lines("rounds.jsonl")
        assert kept == [{"round": 1}, {"round": 2}][: len(kept)]
        folder.append("rounds.jsonl", {"round": 9})
        assert folder.lines("rounds.jsonl") == [*kept, {"round": 9}]


def test_a_damaged_line_is_named(folder: RunFolder) -> None:
    (folder.path / "rounds.jsonl").write_text('{"round": 1}\n{"rou\n{"round": 3}\n')
    with pytest.raises(UserError, match=r"rounds\.jsonl is damaged"):
        folder.lines("rounds.jsonl")


def test_rounds_after_a_checkpoint_are_forgotten(folder: RunFolder) -> None:
    for number in (1, 2, 3):
        folder.append("rounds.jsonl", {"round": number})
    folder.forget_rounds(2)
    assert [line["round"] for line in folder.lines("rounds.jsonl")] == [1, 2]


@pytest.mark.parametrize("text", ["[1]", "7", '"round"', "null", "{}", '{"round": "1"}'])
def test_a_line_that_is_no_table_is_damaged(folder: RunFolder, text: str) -> None:
    (folder.path / "rounds.jsonl").write_text(f"{text}\n")
    with pytest.raises(UserError, match=r"rounds\.jsonl is damaged"):
        folder.forget_rounds(1)


@pytest.mark.parametrize("text", ["[1]", "null", "{}", '{"models": 3}'])
def test_a_summary_that_no_finished_run_wrote_is_refused(folder: RunFolder, text: str) -> None:
    (folder.path / "summary.json").write_text(text)
    with pytest.raises(UserError, match=r"summary\.json (cannot be read|has no table of models)"):
        folder.summary()


@pytest.mark.parametrize("content", [b"\xff", b"seed = 1" + b"0" * 5000])
def test_a_configuration_that_cannot_be_read_is_damaged(folder: RunFolder, content: bytes) -> None:
    (folder.path / "config.toml").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        folder.config()


def test_arrays_come_back_as_they_were(folder: RunFolder) -> None:
    arrays = {
        "a/b": np.arange(6, dtype=np.int64).reshape(2, 3),
        "c": np.array(1.5),
        "none": np.zeros((0, 4), np.float16),
    }
    folder.write_arrays("checkpoint/state.safetensors", arrays)
    read = folder.read_arrays("checkpoint/state.safetensors")
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        assert np.array_equal(read[name], array)
    assert [path.name for path in (folder.path / "checkpoint").iterdir()] == ["state.safetensors"]


def test_a_transposed_array_keeps_its_values(folder: RunFolder) -> None:
    array = np.arange(6).reshape(2, 3).T
    folder.write_arrays("x.safetensors", {"x": array})
    assert np.array_equal(folder.read_arrays("x.safetensors")["x"], array)


def test_a_failed_write_leaves_the_old_file(folder: RunFolder) -> None:
    folder.write_json("summary.json", {"seed": 1})
    with pytest.raises(TypeError):
        folder.write_json("summary.json", {"seed": object()})
    assert folder.read_json("summary.json") == {"seed": 1}
    assert folder.finished


@pytest.mark.parametrize("content", [None, "{", ""])
def test_missing_and_damaged_json_is_a_users_error(folder: RunFolder, content: str | None) -> None:
    if content is not None:
        (folder.path / "summary.json").write_text(content)
    with pytest.raises(UserError, match=r"summary\.json cannot be read"):
        folder.read_json("summary.json")


@pytest.mark.parametrize("content", [None, b"", b"\x00" * 30])
def test_missing_and_damaged_arrays_are_a_users_error(folder: RunFolder, content: bytes | None) -> None:
    if content is not None:
        (folder.path / "teacher.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"teacher\.safetensors cannot be read"):
        folder.read_arrays("teacher.safetensors")


def test_damaged_configuration_is_a_users_error(folder: RunFolder) -> None:
    (folder.path / "config.toml").write_text("name = ")
    with pytest.raises(UserError, match="damaged"):
        folder.config()


def test_tables_are_parquet(folder: RunFolder) -> None:
    table = pd.DataFrame({"client": [0, 1], "up-bytes": [10, 20]})
    folder.write_table("clients.parquet", table)
    assert pd.read_parquet(folder.path / "clients.parquet").equals(table)


def test_files_are_json_lines(folder: RunFolder) -> None:
    folder.append("rounds.jsonl", {"round": 1, "name": "Ü"})
    assert json.loads((folder.path / "rounds.jsonl").read_text().strip()) == {"round": 1, "name": "Ü"}
