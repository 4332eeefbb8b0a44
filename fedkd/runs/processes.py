"""Flower's own programs as child processes: settings, start and stop."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from fedkd.errors import UserError

QUIET = {
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",  # else every run resolves and downloads its own packages
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
}
"""Settings under which Flower needs no network but its own."""


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a Flower program whose settings and state lie in ``home``."""
    home.mkdir(parents=True, exist_ok=True)
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join([beside, os.environ.get("PATH", "")])
    return {**os.environ, **QUIET, "PATH": path, "FLWR_HOME": str(home.absolute()), **(extra or {})}


def program(name: str) -> str:
    """Return the path of one of Flower's programs, the one beside this Python first."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise UserError(f"cannot find the program {name}; install Flower: pip install 'flwr[simulation]'")
    return found


@contextmanager
def running(command: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in its own process group, with its output in a file, and stop the group at the end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=dict(env),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes], patience: float = 10.0) -> None:
    """Stop a process group by a signal, and after ``patience`` seconds by force."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
        except ProcessLookupError:
            return
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue


def wait_for_port(address: str, process: subprocess.Popen[bytes], log: Path, patience: float = 60.0) -> None:
    """Wait until a program listens on ``host:port``; a ``UserError`` if it ended or took too long."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(
                f"the program ended with code {process.returncode} before it listened on {address}; see {log}"
            )
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.1)
    raise UserError(f"nothing listened on {address} within {patience:.0f} s; see {log}")


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
