"""One small federation in process, on Flower's simulation engine, and as real processes: the same metrics."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fedkd.runs.config import load
from fedkd.runs.processes import end, environment, free_port, program, running
from simulations.deployment.certificates import make_certificates
from simulations.deployment.prepare import deal_out

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "simulations" / "conf" / "quickstart.toml"
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
PATIENCE = 420.0


def settings(*more: str) -> list[str]:
    return [part for pair in [*SMALL, *more] for part in ("--set", pair)]


def read(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text()))


def means(summary: dict[str, Any], model: str) -> dict[str, float]:
    return {name: value["mean"] for name, value in summary["models"][model].items() if isinstance(value, dict)}


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("in-process") / "run"
    command = [sys.executable, "-m", "simulations.run", str(CONF), *settings(), "--out", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE)
    return read(folder)


@contextmanager
def stopped_daemon(home: Path) -> Iterator[None]:
    """End the daemon that ``flwr run`` leaves behind; its own settings name the port it listens on."""
    try:
        yield
    finally:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                own = f"FLWR_HOME={home.absolute()}".encode() in (process / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if own and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)


@pytest.mark.network
@pytest.mark.slow
def test_flowers_engine_gives_the_same_metrics(in_process: dict[str, Any], tmp_path: Path) -> None:
    folder, home = tmp_path / "run", tmp_path / "flower"
    env = environment(home, {"FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(free_port())})
    given = " ".join([*SMALL, f"runtime.run-folder={folder}"])
    command = [program("flwr"), "run", str(ROOT), "--stream", "-c", f"overrides='{given}'"]
    command += ["--federation-config", "num-supernodes=2 client-resources-num-cpus=1"]
    with stopped_daemon(home):
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
        assert (folder / "summary.json").exists(), done.stdout[-3000:] + done.stderr[-3000:]
    summary = read(folder)
    for model in ("teacher", "student"):
        assert means(summary, model) == pytest.approx(means(in_process, model), abs=5e-4)


@pytest.mark.network
@pytest.mark.slow
def test_real_processes_give_the_same_metrics(in_process: dict[str, Any], tmp_path: Path) -> None:
    data, folder, keys = tmp_path / "data", tmp_path / "run", tmp_path / "keys"
    assert deal_out(load(CONF, SMALL), data) == SILOS
    make_certificates(keys, SILOS)
    address = f"127.0.0.1:{free_port()}"
    server = [sys.executable, "-m", "server", str(CONF), *settings(), "--address", address]
    server += ["--data", str(data / "server"), "--out", str(folder), "--certificates", str(keys)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = tmp_path / "server.log"
    with ExitStack() as processes:
        serving = processes.enter_context(running(server, env, log))
        wait_for(lambda: "clients may connect now" in log.read_text(), serving, log)
        for client in range(SILOS):
            command = [sys.executable, "-m", "clients", str(data / f"client-{client}"), "--superlink", address]
            command += ["--certificates", str(keys), "--key", str(keys / f"node-{client}")]
            command += ["--minimum-cohort", str(SILOS)]
            processes.enter_context(running(command, env, tmp_path / f"client-{client}.log"))
        wait_for(lambda: serving.poll() is not None, serving, log)
        end(serving)
    assert serving.returncode == 0, log.read_text()[-3000:]
    summary = read(folder)
    assert means(summary, "student") == pytest.approx(means(in_process, "student"), abs=5e-4)
    assert "ndcg@20" not in summary["models"]["teacher"], "no deployed server can measure its teacher on private users"
    assert summary["traffic"].pop("handshake-bytes-per-client") > in_process["traffic"].pop(
        "handshake-bytes-per-client"
    )
    for told in ("evaluation-up-bytes-per-client", "total-up-bytes-per-client"):  # under masks the users' sums alone
        assert summary["traffic"].pop(told) > 0 < in_process["traffic"].pop(told)
    assert summary["traffic"] == pytest.approx(in_process["traffic"], rel=0.02)
    assert all((data / f"client-{client}" / "state").is_dir() for client in range(SILOS))


def wait_for(done: Any, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        assert process.poll() is None or done(), log.read_text()[-3000:]
        time.sleep(0.2)
