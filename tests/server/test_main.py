"""What the server refuses before it starts anything."""

import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

import server.__main__ as own
from fedkd.runs.processes import free_port
from server import registration
from simulations.deployment.certificates import make_certificates

CONF = Path(__file__).resolve().parents[2] / "simulations" / "conf" / "quickstart.toml"


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Nothing is started; the list holds what would have been."""
    commands = list[Any]()

    def refuse(command: list[str], *_: object) -> None:
        commands.append(command)
        raise KeyboardInterrupt

    monkeypatch.setattr(own, "running", refuse)
    monkeypatch.setattr(own.signal, "signal", lambda *_: None)
    monkeypatch.setattr(own, "GRACE", 0.0)
    return commands


def typed(place: Path, *words: object) -> Result:
    app = typer.Typer()
    app.command()(own.main)
    given = [CONF, "--data", place / "data", "--out", place / "run", *words]
    return CliRunner().invoke(app, list(map(str, given)))


def refused(place: Path, *words: object) -> str:
    result = typed(place, *words)
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.split())


def test_a_finished_run_is_not_played_again(tmp_path: Path, started: list[Any]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "summary.json").write_text("{}")
    assert "has finished; begin another one with another --out" in refused(tmp_path, "--insecure")
    assert started == []


def test_a_taken_port_is_named(tmp_path: Path, started: list[Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        assert f"--address {address} is taken" in refused(tmp_path, "--insecure", "--address", address)
    assert "no such address" in refused(tmp_path, "--insecure", "--address", "192.0.2.7:8443")
    assert started == []


def test_missing_certificates_are_named(tmp_path: Path, started: list[Any]) -> None:
    make_certificates(tmp_path / "keys", 0)
    (tmp_path / "keys" / "server.pem").unlink()
    assert "server.pem does not exist" in refused(tmp_path, "--certificates", tmp_path / "keys")
    assert started == []


@pytest.mark.parametrize(
    ("address", "listens", "asks"),
    [("0.0.0.0", "0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1", "127.0.0.1"), ("[::]", "::", "[::1]")],
)
def test_a_server_listens_where_it_is_told_and_speaks_to_itself_by_loopback(
    tmp_path: Path, started: list[Any], address: str, listens: str, asks: str
) -> None:
    make_certificates(tmp_path / "keys", 1)
    flower, port = tmp_path / "run" / "flower", free_port()
    flower.mkdir(parents=True)
    for left in ("state.db", "state.db-wal"):
        (flower / left).write_text("of an earlier attempt")
    typed(tmp_path, "--certificates", tmp_path / "keys", "--address", f"{address}:{port}")
    command = dict(zip(started[0], started[0][1:], strict=False))
    assert (command["--host"], command["--port"]) == (listens, str(port))
    assert f'address = "{asks}:{port}"' in (flower / "config.toml").read_text()
    assert not list(flower.glob("state.db*"))


def test_by_default_a_server_with_certificates_listens_on_all_addresses(tmp_path: Path, started: list[Any]) -> None:
    make_certificates(tmp_path / "keys", 1)
    typed(tmp_path, "--certificates", tmp_path / "keys")
    typed(tmp_path, "--insecure")
    assert [command[command.index("--host") + 1] for command in started] == ["0.0.0.0", "127.0.0.1"]


def test_a_key_that_flower_refuses_ends_the_registration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["registration", "fedkd", str(tmp_path / "absent.pub"), "never looked at"])
    with pytest.raises(SystemExit) as ended:
        registration.main()
    assert ended.value.code == 1
    said = re.sub(r"[\s│]", "", capsys.readouterr().err)  # in a frame as wide as the terminal
    assert "absent.pub" in said


def test_a_key_that_lies_there_twice_is_registered_once(tmp_path: Path) -> None:
    make_certificates(tmp_path, 2)
    (tmp_path / "copy.pub").write_bytes((tmp_path / "node-0.pub").read_bytes())
    assert len(own._keys(tmp_path)) == 2
    assert own._keys(None) == []
