"""A run whose server dies twice, with a client that dies, too, and one that is late, ends like an undisturbed one."""

import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from tests.simulations.deployment import PATIENCE, SMALL, Deployment, in_process, means, programs_of, read

SETTINGS = [*SMALL, "privacy.sums=clear", "num-server-rounds=6", "evaluation.every=0", "runtime.wait-seconds=30"]


@pytest.mark.network
@pytest.mark.slow
def test_a_run_whose_processes_die_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    alone = in_process(tmp_path / "in-process", SETTINGS)
    with Deployment(tmp_path, SETTINGS) as deployment:
        rounds = deployment.folder / "rounds.jsonl"

        def done(number: int) -> bool:
            return rounds.exists() and len(rounds.read_text().splitlines()) >= number

        killed = deployment.connect(0, "--allow-clear", log="early")  # before there is a server
        deployment.connect(1, "--allow-clear")
        deployment.serve()
        deployment.wait_for(lambda: (tmp_path / "early.log").read_text().count("Receiving: query.catalogue") == 2)
        os.killpg(killed.pid, signal.SIGKILL)  # it is counted on, and will not answer
        deployment.wait_for(lambda: done(1))
        deployment.connect(0, "--allow-clear", log="again")  # earlier, it could answer in place of the killed one
        before = rounds.read_text().splitlines()
        deployment.kill(deployment.server)
        deployment.serve()
        assert len(programs_of(deployment.folder)) > 1
        deployment.server.terminate()
        assert deployment.server.wait(PATIENCE) == 143
        # Nothing outlives a server; what the killed one started may still be on its way out.
        deployment.wait_for(lambda: not programs_of(deployment.folder), served=False)
        deployment.serve()
        deployment.connect(2, "--allow-clear")
        deployment.finish()
    lines = [json.loads(line) for line in rounds.read_text().splitlines()]
    assert [line["round"] for line in lines] == [*range(1, len(lines) + 1)], "a server goes on where the last one was"
    assert rounds.read_text().splitlines()[: len(before)] == before
    assert (lines[0]["asked"], lines[0]["answers"]) == (2, 1)
    assert lines[0]["seconds"] < 300, "a dead client is missed long before the 600 seconds for its answer have passed"
    told = pd.read_parquet(deployment.folder / "clients.parquet").set_index("client")
    assert told["answered"].tolist() == [1, 1, 1], (tmp_path / "again.log").read_text()
    assert means(read(deployment.folder), "student") == pytest.approx(means(alone, "student"), abs=5e-4)
    assert "trying again" in (tmp_path / "early.log").read_text()
