"""Processes side by side: they end with the one that started them, however that ends."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

from simulations.workers import end_with_parent, helpers

PATIENCE = 300.0


def worker(folder: Path) -> None:
    end_with_parent()
    (folder / "worker").write_text(str(os.getpid()))
    time.sleep(PATIENCE)


def starter(folder: Path) -> None:
    with helpers(1, worker, folder):
        time.sleep(PATIENCE)


def awaited(path: Path) -> int:
    end = time.monotonic() + PATIENCE
    while not (path.exists() and path.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    return int(path.read_text())


def gone(process: int) -> bool:
    end = time.monotonic() + PATIENCE / 10
    while Path(f"/proc/{process}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    return not Path(f"/proc/{process}").exists()


def test_a_worker_whose_starter_was_killed_ends_too(tmp_path: Path) -> None:
    first = multiprocessing.get_context("spawn").Process(target=starter, args=(tmp_path,))
    first.start()
    number = awaited(tmp_path / "worker")
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    assert gone(number)


def test_workers_are_cut_short_in_the_end(tmp_path: Path) -> None:
    with helpers(1, worker, tmp_path):
        number = awaited(tmp_path / "worker")
    assert gone(number)
