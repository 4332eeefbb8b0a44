"""Ctrl-C in a real process: one line, code 130, no process left, and the run goes on from there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedkd.cli.terminal import INTERRUPTED
from fedkd.runs.folder import RunFolder
from tests.simulations.deployment import CONF, PATIENCE, ROOT, heed_interrupts, options

QUICK = [
    "data.synthetic.users=60",
    "data.synthetic.items=60",
    "data.synthetic.mean-history=15",
    "evaluation.baselines=[]",
    "algorithm.name=fedavg",
]
QUICK += ["num-server-rounds=10000", "evaluation.every=0", "runtime.workers=2", "runtime.threads=1"]


def interrupted(out: Path, file: str) -> tuple[int, list[str]]:
    """Stop a run when a file of it has appeared; return its code and the lines that are no log of a round."""
    command = [sys.executable, "-m", "simulations.run", str(CONF), *options(QUICK), "--out", str(out)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    ) as process:
        deadline = time.monotonic() + PATIENCE
        while not (out / file).exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, text = process.communicate(timeout=PATIENCE)
    return process.returncode, [line for line in text.splitlines() if "INFO" not in line and "WARNING" not in line]


@pytest.mark.slow
@pytest.mark.parametrize("file", ["config.toml", "rounds.jsonl"])
def test_a_run_that_is_stopped_says_how_to_go_on(tmp_path: Path, file: str) -> None:
    out = tmp_path / "run"
    assert interrupted(out, file) == (
        INTERRUPTED,
        [f"stopped; go on with python -m simulations.run --resume {out}"],
    )
    assert RunFolder.open(out).config().num_server_rounds == 10000
    assert not RunFolder.open(out).finished
