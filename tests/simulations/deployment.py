"""A real server and real clients on 127.0.0.1, all that they write in one folder."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from fedkd.runs.config import load
from fedkd.runs.processes import free_port, running
from simulations.deployment.certificates import make_certificates
from simulations.deployment.prepare import deal_out

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "simulations" / "conf" / "quickstart.toml"
PATIENCE = 420.0


def options(settings: list[str]) -> list[str]:
    return [part for pair in settings for part in ("--set", pair)]


class Deployment(ExitStack):
    """The processes of one run; they end with the context."""

    def __init__(self, place: Path, settings: list[str]) -> None:
        super().__init__()
        self.callback(end_all, place)
        self.settings, self.data, self.folder, self.keys = settings, place / "data", place / "run", place / "keys"
        self.silos = deal_out(load(CONF, settings), self.data)
        make_certificates(self.keys, self.silos)
        self.address, self.log = f"127.0.0.1:{free_port()}", place / "server.log"

    def serve(self) -> None:
        """Start the server, and wait until clients may connect."""
        places = ["--data", str(self.data / "server"), "--out", str(self.folder)]
        self.server = self._start("server", str(CONF), *options(self.settings), "--address", self.address, *places)
        self.wait_for(lambda: "clients may connect now" in self.log.read_text())

    def connect(self, number: int, *terms: str, log: str = "") -> "subprocess.Popen[bytes]":
        """Start a client."""
        own = [str(self.data / f"client-{number}"), "--key", str(self.keys / f"node-{number}")]
        return self._start("clients", *own, "--superlink", self.address, *terms, log=log or f"client-{number}")

    def _start(self, package: str, *arguments: str, log: str = "server") -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", package, *arguments, "--certificates", str(self.keys)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return self.enter_context(running(command, env, self.log.with_name(f"{log}.log")))

    def wait_for(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            assert self.server.poll() is None or done(), self.log.read_text()[-3000:]
            time.sleep(0.2)

    def finish(self) -> None:
        """Wait until the server has ended the run, well."""
        self.wait_for(lambda: self.server.poll() is not None)
        assert self.server.returncode == 0, self.log.read_text()[-3000:]


def end_all(place: Path) -> None:
    """End Flower's programs that outlived the process that started them."""
    for process in programs_of(place):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def programs_of(place: Path) -> list[int]:
    """Return the ids of the living programs of Flower whose settings name a folder in ``place``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            settings = (process / "environ").read_bytes().replace(b"\0", b"/")
        except OSError:
            continue
        if f"FLWR_HOME={place.absolute()}/".encode() in settings and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found
