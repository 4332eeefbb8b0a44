"""A client, and then the server, that die without a word in the middle of a run."""

import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from tests.simulations.deployment import Deployment

SETTINGS = [
    "algorithm.name=fedmd",
    "algorithm.references=4",
    "algorithm.model.width=8",
    "algorithm.transfer.epochs=2",
    "data.synthetic.users=40",
    "data.synthetic.items=60",
    "data.synthetic.mean-history=15",
    "partition.clients=silos",
    "partition.num-silos=2",
    "num-server-rounds=5",
    "evaluation.every=0",
    "privacy.sums=clear",
    "evaluation.baselines=[]",
    "runtime.threads=1",
    "runtime.wait-seconds=240",
    "runtime.timeout-seconds=400",
]


@pytest.mark.network
@pytest.mark.slow
def test_a_killed_client_and_a_killed_server_come_back(tmp_path: Path) -> None:
    with Deployment(tmp_path, SETTINGS) as deployment:
        rounds = deployment.folder / "rounds.jsonl"

        def done(answers: int) -> int:
            return rounds.read_text().count(f'"answers": {answers}') if rounds.exists() else 0

        killed = deployment.connect(0, "--allow-clear", log="early")  # before there is a server
        deployment.serve()
        deployment.connect(1, "--allow-clear")
        deployment.wait_for(lambda: done(2) >= 1)
        os.killpg(killed.pid, signal.SIGKILL)
        assert any((deployment.data / "client-0" / "state").rglob("*")), "a client keeps its student on its own disk"
        deployment.connect(0, "--allow-clear", log="again")
        deployment.wait_for(lambda: done(1) >= 1)
        before = rounds.read_text().splitlines()
        deployment.kill(deployment.server)
        deployment.serve()
        deployment.finish()
    lines = [json.loads(line) for line in rounds.read_text().splitlines()]
    assert [line["round"] for line in lines] == [1, 2, 3, 4, 5], "the second server goes on where the first one was"
    assert rounds.read_text().splitlines()[: len(before)] == before
    lost = next(line for line in lines if line["answers"] == 1)
    assert lost["seconds"] < 200, "a dead client is missed long before the time for its answer has passed"
    assert lines[-1]["answers"] == 2, (tmp_path / "again.log").read_text()
    told = pd.read_parquet(deployment.folder / "clients.parquet").set_index("client")
    assert told.loc[1, "answered"] >= told.loc[0, "answered"] >= 3
    assert "trying again" in (tmp_path / "early.log").read_text() + (tmp_path / "again.log").read_text()
