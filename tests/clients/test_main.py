"""A client whose server does not answer, refuses it, or ends: how long it tries, and what it says."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

import clients.__main__ as client
from clients.__main__ import Connection, keep_connected
from clients.device import write_device
from fedkd.errors import UserError
from fedkd.runs.config import load
from fedkd.runs.federation import federation
from fedkd.runs.processes import free_port
from fedkd.runs.reach import Address
from tests.simulations.devices import SMALL


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.pauses = 1000.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(client, "time", clock)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return clock


@pytest.fixture
def data(tmp_path: Path) -> Path:
    together = federation(load(None, SMALL))
    write_device(tmp_path / "device", 3, 23, together.fold.take(together.private[3:4]))
    return tmp_path / "device"


def typed(*words: object) -> Result:
    app = typer.Typer()
    app.command()(client.main)
    return CliRunner().invoke(app, list(map(str, words)))


def test_a_server_that_is_not_there_is_named_when_patience_ends(data: Path, clock: Clock) -> None:
    port = free_port()
    result = typed(data, "--superlink", f"127.0.0.1:{port}", "--insecure", "--patience", 10)
    assert result.exit_code == 2
    assert f"no connection for 10 s: nothing answers at 127.0.0.1:{port} (Connection refused)" in result.stderr
    assert "trying again in 2 s" in result.stdout
    assert sum(clock.pauses) == pytest.approx(10)


def test_patience_of_nothing_tries_once(data: Path, clock: Clock) -> None:
    assert typed(data, "--superlink", f"127.0.0.1:{free_port()}", "--insecure", "--patience", 0).exit_code == 2
    assert clock.pauses == []


def refusing(monkeypatch: pytest.MonkeyPatch, clock: Clock, *seconds: float) -> list[float]:
    """Let SuperNodes end after some seconds each, and then at once."""
    lives = list(seconds)

    def run(*_: Any) -> None:
        clock.now += lives.pop(0) if lives else 1.0

    monkeypatch.setattr(client, "_run", run)
    monkeypatch.setattr(Address, "trouble", lambda *_: "")
    return lives


def test_a_server_that_refuses_is_asked_until_patience_ends(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    refusing(monkeypatch, clock)
    with pytest.raises(
        UserError, match=r"no connection for 60 s: the server at 127\.0\.0\.1:1 stopped, or refused.*public key"
    ):
        keep_connected(list, {}, Connection(Address("127.0.0.1", 1)), 60)
    assert clock.pauses[:4] == [2, 4, 8, 15]


def test_a_node_that_was_accepted_is_started_again_with_new_patience(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    lives = refusing(monkeypatch, clock, 1.0, 3600.0, 1.0)
    with pytest.raises(UserError):
        keep_connected(list, {}, Connection(Address("127.0.0.1", 1)), 30)
    assert not lives
    assert clock.now > 4600


def test_files_that_do_not_exist_are_named_before_anything_starts(data: Path, tmp_path: Path) -> None:
    for option in ("--certificates", "--key"):
        more = ["--certificates", tmp_path] if option == "--key" else []
        (tmp_path / "ca.crt").unlink(missing_ok=True)
        if more:
            (tmp_path / "ca.crt").write_text("")
        result = typed(data, *more, option, tmp_path / "missing")
        assert result.exit_code == 2
        assert "does not exist; make it with python -m simulations.deployment.certificates" in result.stderr
    assert "is no file" in typed(data, "--insecure", "--trusted-entities", tmp_path / "none.yaml").stderr
    assert "is not host:port" in typed(data, "--insecure", "--superlink", "somewhere").stderr


def test_a_client_starts_its_node_and_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    writes = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('x')"
    client._run([sys.executable, "-c", writes, str(tmp_path / "made")], dict(os.environ))
    assert (tmp_path / "made").stat().st_mode & 0o077 == 0
