"""What tests of runs share: folders of devices, and one SuperLink for all that ``flwr run`` starts."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flwr.supercore.task_identity import TaskIdentity

from fedkd.runs.config import load
from fedkd.runs.processes import environment, free_port, program, running
from fedkd.runs.reach import Address
from simulations.deployment.prepare import deal_out
from tests.simulations.deployment import PATIENCE, ROOT, end_all
from tests.simulations.devices import SMALL


@pytest.fixture(autouse=True)
def own_identity() -> Iterator[None]:
    """Flower keeps the identity of a task for the whole process; a test must not leave one behind."""
    kept = (TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id)
    yield
    TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = kept


@pytest.fixture(scope="session")
def dealt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of a server and of its devices, for copies alone."""
    place = tmp_path_factory.mktemp("dealt")
    deal_out(load(None, SMALL), place)
    return place


@pytest.fixture
def data(tmp_path: Path, dealt: Path) -> Path:
    """Folders of a server and of its devices, for one test."""
    return Path(shutil.copytree(dealt, tmp_path / "data"))


@pytest.fixture(scope="module")  # one that waits for a run asks for it ten times a second
def flwr_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path, list[str]], None]]:
    """Run settings into a folder with ``flwr run``, all of them on one SuperLink with Flower's simulation engine."""
    home, port = tmp_path_factory.mktemp("flower"), free_port()
    own = {"FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(port), "PYTHONPATH": str(ROOT)}
    env = environment(home, own | {"RAY_worker_niceness": "0"})  # at Ray's own 15 it waits until other tests are done
    superlink = [program("flower-superlink"), "--insecure", "--simulation", "--host", "127.0.0.1", "--port", str(port)]
    log = home / "superlink.log"

    def run(folder: Path, settings: list[str]) -> None:
        given = " ".join([*settings, f"runtime.run-folder={folder}"])
        command = [program("flwr"), "run", str(ROOT), "--stream", "-c", f"overrides='{given}'"]
        command += ["--federation-config", "num-supernodes=2 client-resources-num-cpus=1"]
        done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=PATIENCE)
        assert (folder / "summary.json").exists(), done.stdout[-3000:] + done.stderr[-3000:] + log.read_text()[-3000:]

    try:
        with running(superlink, env, log) as process:
            while Address("127.0.0.1", port).trouble(None):
                assert process.poll() is None, log.read_text()[-3000:]
                time.sleep(0.1)
            yield run
    finally:
        end_all(home)
