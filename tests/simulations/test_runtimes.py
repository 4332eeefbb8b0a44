"""One small federation in process, on Flower's simulation engine, and as real processes; and a client that is killed.

All that starts Flower's programs is here, so that one process after the other runs it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.simulations.deployment import CONF, PATIENCE, ROOT, Deployment, options, programs_of

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

KILLED = [
    "algorithm.name=fedmd",
    "algorithm.references=4",
    "algorithm.model.width=8",
    "algorithm.transfer.epochs=2",
    "data.synthetic.users=40",
    "data.synthetic.items=60",
    "data.synthetic.mean-history=15",
    "partition.clients=silos",
    "partition.num-silos=2",
    "num-server-rounds=12",
    "evaluation.every=0",
    "privacy.sums=clear",
    "evaluation.baselines=[]",
    "runtime.threads=1",
    "runtime.wait-seconds=120",
    "runtime.timeout-seconds=40",
]


def read(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text()))


def means(summary: dict[str, Any], model: str) -> dict[str, float]:
    return {name: value["mean"] for name, value in summary["models"][model].items() if isinstance(value, dict)}


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("in-process") / "run"
    command = [sys.executable, "-m", "simulations.run", str(CONF), *options(SMALL), "--out", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE)
    return read(folder)


@pytest.mark.network
@pytest.mark.slow
def test_flowers_engine_gives_the_same_metrics(
    in_process: dict[str, Any], tmp_path: Path, flwr_run: Callable[[Path, list[str]], None]
) -> None:
    flwr_run(tmp_path / "run", SMALL)
    summary = read(tmp_path / "run")
    for model in ("teacher", "student"):
        assert means(summary, model) == pytest.approx(means(in_process, model), abs=5e-4)


@pytest.mark.network
@pytest.mark.slow
def test_flowers_engine_runs_a_protocol_that_is_not_in_the_package(
    tmp_path: Path, flwr_run: Callable[[Path, list[str]], None]
) -> None:
    own = ["algorithm.name=tests.protocols.foreign:MeanScores", "algorithm.clip=3"]
    flwr_run(tmp_path / "run", [*SMALL[:3], *own, *SMALL[-3:]])
    summary = read(tmp_path / "run")
    assert summary["algorithm"] == "tests.protocols.foreign:MeanScores"
    assert summary["clients"]["failed-answers"] == 0
    assert 0 < summary["models"]["student"]["ndcg@20"]["mean"] <= 1


@pytest.mark.network
@pytest.mark.slow
def test_real_processes_give_the_same_metrics(in_process: dict[str, Any], tmp_path: Path) -> None:
    with Deployment(tmp_path, SMALL) as deployment:
        assert deployment.silos == SILOS
        deployment.serve()
        for client in range(SILOS):
            deployment.connect(client, "--minimum-cohort", str(SILOS))
        deployment.finish()
    summary = read(deployment.folder)
    assert means(summary, "student") == pytest.approx(means(in_process, "student"), abs=5e-4)
    assert "ndcg@20" not in summary["models"]["teacher"], "no deployed server can measure its teacher on private users"
    assert summary["traffic"].pop("handshake-bytes-per-client") > in_process["traffic"].pop(
        "handshake-bytes-per-client"
    )
    for told in ("evaluation-up-bytes-per-client", "total-up-bytes-per-client"):  # under masks the users' sums alone
        assert summary["traffic"].pop(told) > 0 < in_process["traffic"].pop(told)
    assert summary["traffic"] == pytest.approx(in_process["traffic"], rel=0.02)
    assert all((deployment.data / f"client-{client}" / "state").is_dir() for client in range(SILOS))


@pytest.mark.network
@pytest.mark.slow
def test_a_killed_client_comes_back_with_its_state(tmp_path: Path) -> None:
    with Deployment(tmp_path, KILLED) as deployment:
        rounds = deployment.folder / "rounds.jsonl"
        killed = deployment.connect(0, "--allow-clear", log="early")  # before it is registered
        deployment.serve()
        deployment.connect(1, "--allow-clear")
        deployment.wait_for(lambda: rounds.exists() and '"answers": 2' in rounds.read_text())
        os.killpg(killed.pid, signal.SIGKILL)
        kept = sorted((deployment.data / "client-0" / "state").rglob("*"))
        assert kept, "a client keeps its student on its own disk"
        deployment.connect(0, "--allow-clear", log="again")
        deployment.finish()
    told = pd.read_parquet(deployment.folder / "clients.parquet").set_index("client")
    assert told.loc[1, "answered"] >= told.loc[0, "answered"] >= 3
    assert told.loc[0, "failed"] >= 1
    lines = [json.loads(line) for line in rounds.read_text().splitlines()]
    lost = [line["round"] for line in lines if line["answers"] == 1]
    assert lost, "the kill must have cost an answer"
    back = [line for line in lines if line["answers"] == 2 and line["round"] > min(lost)]
    assert back, (tmp_path / "again.log").read_text()
    assert "trying again" in (tmp_path / "early.log").read_text() + (tmp_path / "again.log").read_text()


@pytest.mark.network
@pytest.mark.slow
def test_a_terminated_server_ends_what_it_started(tmp_path: Path) -> None:
    with Deployment(tmp_path, SMALL) as deployment:
        deployment.serve()
        deployment.server.terminate()
        assert deployment.server.wait(PATIENCE) == 128 + signal.SIGTERM
        assert not programs_of(tmp_path)
