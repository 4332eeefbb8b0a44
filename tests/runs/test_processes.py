"""Child processes: nothing that was started outlives what started it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fedkd.errors import UserError
from fedkd.runs.processes import environment, program, running

SLEEPER = "import subprocess, sys, time; subprocess.Popen(['sleep', '600'], start_new_session=True); "
SLEEPER += "print('ready', flush=True); time.sleep(600)"
TIED = "import sys; from fedkd.runs.processes import tie; tie('--more'); assert sys.argv[1:] == ['x', '--more']; "
TIED += SLEEPER


def until(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_tied_process_ends_with_all_it_started_when_its_parent_is_killed() -> None:
    parent = f"import os, subprocess, sys; subprocess.run([sys.executable, '-c', {TIED!r}, str(os.getpid()), 'x'])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) == 2
        process.kill()
        assert until(lambda: all(map(gone, family)))


def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "log"
    with running([sys.executable, "-c", SLEEPER], environment(tmp_path), log) as process:
        assert until(lambda: "ready" in log.read_text())
        family = psutil.Process(process.pid).children(recursive=True)
        assert [os.getsid(one.pid) != os.getsid(process.pid) for one in family] == [True]
    assert process.returncode < 0
    assert all(map(gone, family))


def test_what_a_program_starts_while_it_is_ended_ends_too(tmp_path: Path) -> None:
    late = "import signal, subprocess, sys, time\n"
    late += "def on(*_):\n    print(subprocess.Popen(['sleep', '600']).pid, flush=True)\n    sys.exit(0)\n"
    late += "signal.signal(15, on)\nprint('ready', flush=True)\ntime.sleep(600)"
    inner = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {late!r}], start_new_session=True)"
    for number, code in enumerate((late, inner)):
        log = tmp_path / f"log-{number}"
        with running([sys.executable, "-c", code], environment(tmp_path), log) as process:
            assert until(lambda log=log: "ready" in log.read_text())
            assert not psutil.Process(process.pid).children() or code is inner
        started = int(log.read_text().splitlines()[-1])
        assert until(lambda started=started: not psutil.pid_exists(started) or gone(psutil.Process(started)))


def test_a_program_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedkd.runs.processes.GRACE", 0.2)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
    with running([sys.executable, "-c", deaf], environment(tmp_path), tmp_path / "log") as process:
        assert until(lambda: "ready" in (tmp_path / "log").read_text())
    assert process.returncode == -9


def test_a_program_that_has_ended_may_be_ended(tmp_path: Path) -> None:
    with running([sys.executable, "-c", ""], environment(tmp_path), tmp_path / "log") as process:
        assert process.wait() == 0


def test_a_missing_program_is_named() -> None:
    with pytest.raises(UserError, match="cannot find the program no-such-program"):
        program("no-such-program")
