"""What all tests share: they meet the same chance every time."""

import random
import secrets

import pytest

DRAWN = random.Random()


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
