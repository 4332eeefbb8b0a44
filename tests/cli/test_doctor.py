"""Every check finds what is wrong, and gives a hint."""

import socket
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from fedkd.cli import doctor


def test_everything_is_looked_at_and_named_once() -> None:
    checks = list(doctor.examine())
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    assert {"Python", "fedkd", "torch", "ray", "cryptography", "cores", "memory", "threads", "data cache"} <= set(names)
    assert all(check.found for check in checks)


@pytest.mark.parametrize(("version", "fine"), [((3, 10, 9), False), ((3, 11, 0), True), ((3, 15, 0), False)])
def test_python_is_checked(version: tuple[int, int, int], fine: bool) -> None:
    assert doctor.python(version).fine is fine


def test_packages_missing_or_too_old_are_named_with_a_hint() -> None:
    assert doctor.package(Requirement("numpy>=1")).fine
    assert doctor.package(Requirement("numpy>=999")).hint == "pip install 'numpy>=999'"
    missing = doctor.package(Requirement("no-such-package-here>=2"))
    assert (missing.found, missing.hint) == ("missing", "pip install 'no-such-package-here>=2'")
    assert [check.found for check in doctor.packages("no-such-package-here")] == ["not installed"]


def test_little_memory_is_a_warning() -> None:
    assert doctor.memory(8 * 2**30).fine
    assert "cohort-size" in doctor.memory(2**30).hint


@pytest.mark.parametrize(("value", "fine"), [("1", True), ("100000", False), ("many", False)])
def test_thread_settings_beyond_the_cores_are_a_warning(
    monkeypatch: pytest.MonkeyPatch, value: str, fine: bool
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    check = doctor.threads()
    assert f"OMP_NUM_THREADS={value}" in check.found
    assert check.fine is fine


def test_somebody_on_the_local_port_is_a_warning() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert doctor.local_port(port).fine  # bound, and nobody listens
        server.listen()
        check = doctor.local_port(port)
    assert check.found == f"port {port} is taken"
    assert "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT" in check.hint


def test_folders_that_can_be_made_are_fine_and_others_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "new" / "home"))
    assert doctor.flower_home().fine
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "file" / "home"))
    assert "FLWR_HOME" in doctor.flower_home().hint


def test_downloads_of_flower_runs_are_a_warning_until_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION", raising=False)
    assert "export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1" in doctor.runtime_installation().hint
    monkeypatch.setenv("FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION", "1")
    assert doctor.runtime_installation().fine


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert doctor.programs().fine
    monkeypatch.setattr(doctor.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.programs().found == "flwr, flower-superlink, flower-supernode missing"


@pytest.mark.parametrize(("free", "fine"), [(2**30, True), (2**30 - 1, False)])
def test_a_disk_without_room_for_a_run_is_named(free: int, fine: bool) -> None:
    found = doctor.disk(free)
    assert found.fine == fine
    assert "GiB free" in found.found
    assert fine or "--dry-run" in found.hint


def test_the_disk_and_the_folder_of_runs_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert {"disk", "run folder"} <= {check.name for check in doctor.examine()}
    assert not list(tmp_path.iterdir())
