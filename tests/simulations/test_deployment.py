"""A real client that is killed and comes back: its answer is lost, its state is not, and the run ends well."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest

from fedkd.runs.config import load
from fedkd.runs.processes import free_port, running
from simulations.deployment.certificates import make_certificates
from simulations.deployment.prepare import deal_out

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "simulations" / "conf" / "quickstart.toml"
SILOS, ROUNDS, PATIENCE = 2, 16, 300.0
SMALL = [
    "algorithm.name=fedmd",
    "algorithm.references=4",
    "algorithm.model.width=8",
    "algorithm.transfer.epochs=2",
    "data.synthetic.users=40",
    "data.synthetic.items=60",
    "data.synthetic.mean-history=15",
    "partition.clients=silos",
    f"partition.num-silos={SILOS}",
    f"num-server-rounds={ROUNDS}",
    "evaluation.every=0",
    "privacy.sums=clear",
    "evaluation.baselines=[]",
    "runtime.threads=1",
    "runtime.wait-seconds=120",
    "runtime.timeout-seconds=20",
]


@pytest.mark.network
@pytest.mark.slow
def test_a_killed_client_comes_back_with_its_state(tmp_path: Path) -> None:
    data, folder, keys = tmp_path / "data", tmp_path / "run", tmp_path / "keys"
    deal_out(load(CONF, SMALL), data)
    make_certificates(keys, SILOS)
    address, env = f"127.0.0.1:{free_port()}", {**os.environ, "PYTHONPATH": str(ROOT)}
    settings = [part for pair in SMALL for part in ("--set", pair)]
    server = [sys.executable, "-m", "server", str(CONF), *settings, "--address", address]
    server += ["--data", str(data / "server"), "--out", str(folder), "--certificates", str(keys)]
    log, rounds = tmp_path / "server.log", folder / "rounds.jsonl"

    def client(number: int) -> list[str]:
        command = [sys.executable, "-m", "clients", str(data / f"client-{number}"), "--superlink", address]
        return [*command, "--certificates", str(keys), "--key", str(keys / f"node-{number}"), "--allow-clear"]

    with ExitStack() as processes:
        killed = processes.enter_context(running(client(0), env, tmp_path / "early.log"))  # before it is registered
        serving = processes.enter_context(running(server, env, log))
        wait_for(lambda: "clients may connect now" in log.read_text(), serving, log)
        processes.enter_context(running(client(1), env, tmp_path / "client-1.log"))
        wait_for(lambda: rounds.exists() and f'"answers": {SILOS}' in rounds.read_text(), serving, log)
        os.killpg(killed.pid, signal.SIGKILL)
        kept = sorted((data / "client-0" / "state").glob("*/*"))
        assert kept, "a client keeps its student on its own disk"
        processes.enter_context(running(client(0), env, tmp_path / "again.log"))
        wait_for(lambda: serving.poll() is not None, serving, log)
    assert serving.returncode == 0, log.read_text()[-3000:]
    told = pd.read_parquet(folder / "clients.parquet").set_index("client")
    assert told.loc[1, "answered"] >= told.loc[0, "answered"] >= 3
    assert told.loc[0, "failed"] >= 1
    lines = [json.loads(line) for line in rounds.read_text().splitlines()]
    lost = [line["round"] for line in lines if line["answers"] == 1]
    assert lost, "the kill must have cost an answer"
    back = [line for line in lines if line["answers"] == SILOS and line["round"] > min(lost)]
    assert back, (tmp_path / "again.log").read_text()
    assert "trying again" in (tmp_path / "early.log").read_text() + (tmp_path / "again.log").read_text()


def wait_for(done: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        assert process.poll() is None or done(), log.read_text()[-3000:]
        time.sleep(0.2)
