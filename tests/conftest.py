"""What all tests share: the same chance every time, and the processes that they run in."""

import functools
import os
import random
import secrets
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

DRAWN = random.Random()

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # other tests, or Flower's processes, may have the cores while an example is tried

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything heavy is imported: every core has a test of its own


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chance", type=int, default=0, help="let noise, masks and keys fall another way (default 0)")


def pytest_configure() -> None:
    """Draw the secrets of noise, masks and keys from a seed.

    They come from the operating system otherwise, and a test of what is random would fail once in a while, on a machine
    where nobody can repeat it.
    """
    secrets.token_bytes = lambda nbytes=None: DRAWN.randbytes(nbytes or secrets.DEFAULT_ENTROPY)
    secrets.randbits = DRAWN.getrandbits
    secrets.randbelow = DRAWN.randrange


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start every test, and the fixtures that it is the first to need, from its own name."""
    DRAWN.seed(f"{item.config.getoption('--chance')} {item.nodeid}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Give every core a process, and one to those that wait for others; files that are named are run right here."""
    named = [Path(argument.partition("::")[0]) for argument in config.option.file_or_dir]
    return 0 if named and all(path.is_file() for path in named) else min(os.cpu_count() or 1, 8) + 1


class OneDeploymentAtATime(LoadFileScheduling):
    """A file is run by one process, and all files that start Flower's processes are run by the same one.

    Two deployments at once leave so little of two cores to each that Ray gives up waiting for its own processes.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "network" if "mark.network" in _text(self.config.rootpath / file) else file


@functools.cache
def _text(path: Path) -> str:
    return path.read_text()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    return OneDeploymentAtATime(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files that start processes first and other long ones next, so that nothing long comes last."""
    long = {mark: {item.path for item in items if item.get_closest_marker(mark)} for mark in ("network", "slow")}
    items.sort(key=lambda item: (item.path not in long["network"], item.path not in long["slow"]))
