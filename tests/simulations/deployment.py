"""A real server and real clients on 127.0.0.1, all that they write in one folder."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from fedkd.runs.config import load
from fedkd.runs.processes import free_port, running
from simulations.deployment.certificates import make_certificates
from simulations.deployment.prepare import deal_out
from simulations.run import simulate

SILOS = 3
SMALL = [
    "data.synthetic.users=60",
    "data.synthetic.items=80",
    "data.synthetic.mean-history=15",
    "partition.clients=silos",
    f"partition.num-silos={SILOS}",
    "algorithm.references=20",
    "algorithm.panel=60",
    "algorithm.rank=8",
    f"privacy.minimum-cohort={SILOS}",
    "evaluation.baselines=[]",
    "runtime.threads=1",
    "runtime.wait-seconds=240",
]
ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "simulations" / "conf" / "quickstart.toml"
PATIENCE = 900.0
READY = "clients may connect now"


def in_process(folder: Path, settings: Sequence[str] = SMALL) -> dict[str, Any]:
    """Return the summary of the same federation without any other process."""
    simulate(load(CONF, [*settings, f"runtime.run-folder={folder}"]))
    return read(folder)


def read(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text()))


def means(summary: dict[str, Any], model: str) -> dict[str, float]:
    return {name: value["mean"] for name, value in summary["models"][model].items() if isinstance(value, dict)}


def options(settings: list[str]) -> list[str]:
    return [part for pair in settings for part in ("--set", pair)]


def heed_interrupts() -> None:
    """Let Ctrl-C reach a program that is about to start, also where the tests run in the background and ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Deployment(ExitStack):
    """The processes of one run; they end with the context."""

    def __init__(self, place: Path, settings: list[str]) -> None:
        super().__init__()
        self.callback(end_all, place)
        self.settings, self.data, self.folder, self.keys = settings, place / "data", place / "run", place / "keys"
        self.silos = deal_out(load(CONF, settings), self.data)
        make_certificates(self.keys, self.silos)
        self.port, self.log = free_port(), place / "server.log"

    def serve(self) -> None:
        """Start the server, on all addresses, and wait until clients may connect."""
        places = ["--data", str(self.data / "server"), "--out", str(self.folder), "--address", f"0.0.0.0:{self.port}"]
        said = self.log.read_text().count(READY) if self.log.exists() else 0
        self.server = self._start("server", str(CONF), *options(self.settings), *places)
        self.wait_for(lambda: self.log.read_text().count(READY) > said)

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """End a process, and nothing that it started, without a word."""
        process.kill()
        process.wait()

    def connect(self, number: int, *terms: str, log: str = "") -> "subprocess.Popen[bytes]":
        """Start a client."""
        own = [str(self.data / f"client-{number}"), "--key", str(self.keys / f"node-{number}")]
        return self._start(
            "clients", *own, "--superlink", f"127.0.0.1:{self.port}", *terms, log=log or f"client-{number}"
        )

    def _start(self, package: str, *arguments: str, log: str = "server") -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", package, *arguments, "--certificates", str(self.keys)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return self.enter_context(running(command, env, self.log.with_name(f"{log}.log")))

    def wait_for(self, done: Callable[[], bool], served: bool = True) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            assert not served or self.server.poll() is None or done(), self.log.read_text()[-3000:]
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
