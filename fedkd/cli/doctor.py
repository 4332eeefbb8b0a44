"""Checks of everything that a run needs of its machine, each with a hint where something is wrong."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from fedkd.runs.machine import available_memory, free_disk

LOCAL_PORT = 39091
"""The port at which ``flwr run`` looks for, or starts, its local SuperLink."""
LEAST_MEMORY = 2 * 2**30
LEAST_DISK = 2**30
RUNS = Path("runs")
"""The folder in which runs lie by default."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes
    ----------
    name : str
        Name of the check.
    found : str
        The result.
    hint : str
        How to correct it; empty where nothing is wrong.
    """

    name: str
    found: str
    hint: str = ""

    @property
    def fine(self) -> bool:
        """Whether nothing is wrong."""
        return not self.hint


def examine() -> Iterator[Check]:
    """Return the results of all checks, which change nothing and use no network."""
    yield python(sys.version_info[:3])
    yield from packages("fedkd")
    yield cores()
    yield memory(available_memory())
    yield disk(free_disk(RUNS))
    yield _folder("run folder", RUNS, "give --out a folder that you may write, or begin in another folder")
    yield threads()
    yield programs()
    yield flower_home()
    yield local_port(int(os.environ.get("FLWR_LOCAL_SUPERLINK_HTTP_API_PORT") or LOCAL_PORT))
    yield runtime_installation()
    yield cache()


def python(found: tuple[int, ...]) -> Check:
    """Check the version of Python."""
    good = (3, 11) <= found[:2] < (3, 15)
    return Check("Python", ".".join(map(str, found)), "" if good else "use Python 3.11 to 3.14")


def packages(name: str) -> Iterator[Check]:
    """Check every package that ``name`` requires against the versions that it allows; Ray comes with Flower's extra."""
    try:
        wanted = [Requirement(line) for line in requires(name) or []]
    except PackageNotFoundError:
        yield Check(name, "not installed", "pip install -e . in the folder of the project")
        return
    yield Check(name, version(name))
    for requirement in wanted:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield package(requirement)
    yield package(Requirement("ray"), "pip install 'flwr[simulation]'; `flwr run .` alone needs it")


def package(wanted: Requirement, hint: str = "") -> Check:
    """Check the installed version of one package."""
    hint = hint or f"pip install '{wanted.name}{wanted.specifier}'"
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return Check(wanted.name, "missing", hint)
    return Check(wanted.name, found, "" if wanted.specifier.contains(found, prereleases=True) else hint)


def cores() -> Check:
    """Count the cores that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("cores", f"{usable} usable of {os.cpu_count()}")


def memory(available: int) -> Check:
    """Check the free memory, in bytes."""
    hint = "" if available >= LEAST_MEMORY else "close other programs, or lower runtime.cohort-size and runtime.workers"
    return Check("memory", f"{available / 2**30:.1f} GiB free", hint)


def disk(free: int) -> Check:
    """Check the disk of the runs, in bytes; a dry run says how much a run takes of it."""
    hint = "" if free >= LEAST_DISK else "free some, or give --out a folder on a larger disk; --dry-run says the need"
    return Check("disk", f"{free / 2**30:.1f} GiB free for runs", hint)


def threads() -> Check:
    """Check the thread settings of the environment, which hold until ``runtime.threads`` takes over."""
    given = {name: os.environ[name] for name in THREADS if os.environ.get(name)}
    odd = [name for name, value in given.items() if not value.isdigit() or int(value) > (os.cpu_count() or 1)]
    hint = f"unset {' '.join(odd)}: more threads than cores are slower" if odd else ""
    found = ", ".join(f"{name}={value}" for name, value in given.items())
    return Check("threads", found or "no limit set; runtime.threads decides", hint)


def programs() -> Check:
    """Check for Flower's programs, which deployed runs start."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    wanted = ("flwr", "flower-superlink", "flower-supernode")
    missing = [name for name in wanted if shutil.which(name, path=beside) is None]
    found = f"{', '.join(missing)} missing" if missing else ", ".join(wanted)
    return Check("Flower's programs", found, "pip install 'flwr[simulation]'" if missing else "")


def flower_home() -> Check:
    """Check the folder where Flower keeps its settings and apps."""
    home = Path(os.environ.get("FLWR_HOME") or Path.home() / ".flwr")
    return _folder("Flower home", home, "set FLWR_HOME to a folder that you may write")


def local_port(port: int) -> Check:
    """Check whether a SuperLink runs already where ``flwr run`` would start its own."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    hint = (
        "`flwr run` uses whatever listens there, whoever started it and with whichever version and home; "
        "end that process, or set FLWR_LOCAL_SUPERLINK_HTTP_API_PORT to a free port"
    )
    return Check("local SuperLink", f"port {port} is {'taken' if taken else 'free'}", hint if taken else "")


def runtime_installation() -> Check:
    """Check whether ``flwr run`` would resolve and download packages of its own for every run."""
    name = "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"
    off = os.environ.get(name, "").lower() in ("1", "true")
    hint = f"before `flwr run`: export {name}=1, else every run downloads its own packages, gigabytes of them"
    return Check("packages of a `flwr run`", "those installed" if off else "downloaded", "" if off else hint)


def cache() -> Check:
    """Check the folder that downloaded data go into."""
    import pooch

    return _folder("data cache", Path(pooch.os_cache("fedkd")), "fedkd data get NAME --folder DIR, and set data.path")


def _folder(name: str, path: Path, hint: str) -> Check:
    """Check that a folder can be written, or made."""
    there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    good = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return Check(name, f"{path}{'' if good else ' cannot be written'}", "" if good else hint)
