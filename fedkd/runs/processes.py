"""Flower's own programs as child processes: settings, start and stop."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from fedkd.errors import UserError

QUIET = {
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",  # else every run resolves and downloads its own packages
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.5",
}
"""Settings under which Flower needs no network but its own."""

GRACE = 10.0
"""Seconds that a program has to end after it was asked to."""


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


def tied(module: str) -> list[str]:
    """Return the command that runs a module which calls ``tie``, as a child of this process."""
    return [sys.executable, "-m", module, str(os.getpid())]


def tie(*arguments: str) -> None:
    """End this process soon after its parent, even if the parent was killed; its id is the first argument.

    Whatever this process started ends first, then it is asked to end itself, and after ``GRACE`` seconds it must.
    ``arguments`` are added to those that this process was given.
    """
    parent = int(sys.argv.pop(1))
    sys.argv += arguments

    def _watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        end_family(psutil.Process().children(recursive=True))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=_watch, daemon=True).start()


@contextmanager
def running(command: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in its own process group, with its output in a file, and stop it and all it started at the end."""
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


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a program and all that it started: by a signal, and after ``GRACE`` seconds by force."""
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid).children(recursive=True)
        sessions = _sessions([process.pid, *(one.pid for one in started)])
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        end_family(started, sessions)
    process.kill()
    process.wait()


def end_family(processes: Sequence[psutil.Process], sessions: Set[int] = frozenset()) -> None:
    """Stop processes, and then what they or others started in these sessions or theirs until they ended."""
    sessions = sessions | _sessions([one.pid for one in processes])
    end_all(processes)
    end_all([one for one in psutil.process_iter() if _sessions([one.pid]) & sessions])


def _sessions(ids: Sequence[int]) -> Set[int]:
    """Return the sessions of processes that live, but this process's own."""
    found = set()
    for number in ids:
        with suppress(ProcessLookupError, PermissionError):
            found.add(os.getsid(number))
    return found - {os.getsid(0)}


def end_all(processes: Sequence[psutil.Process], patience: float = 3.0) -> None:
    """Stop processes by a signal, and after ``patience`` seconds by force."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(processes, patience)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
