"""A federation in memory: every ask and every answer travels as packed bytes, as in the real round loop."""

from collections.abc import Callable

import pytest

from fedkd.data.fold import Fold
from fedkd.protocols.base import Setup
from fedkd.testing.protocols import Outcome, play, toy_fold, toy_setup


@pytest.fixture
def run_federation() -> Callable[..., Outcome]:
    return play


@pytest.fixture
def private_fold() -> Callable[..., Fold]:
    return toy_fold


@pytest.fixture
def public_setup() -> Callable[..., Setup]:
    return toy_setup
