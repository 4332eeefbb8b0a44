"""What Flower's log shows of an error that ends a ServerApp."""

import logging
import sys

import pytest

from fedkd.cli.log import FLOWER, say_mistakes_in_words
from fedkd.errors import DivergedError, UserError


@pytest.mark.parametrize("error", [UserError("lower 100 %, or raise it"), DivergedError("nan"), KeyError("fault")])
def test_a_mistake_is_a_line_and_a_fault_keeps_its_traceback(error: Exception) -> None:
    logger = logging.getLogger(FLOWER)
    for _ in range(2):
        say_mistakes_in_words()
    try:
        raise error
    except Exception:
        said = ("%s raised an exception", ("ServerApp",), sys.exc_info())
    record = logger.makeRecord(FLOWER, logging.ERROR, "", 0, *said)
    assert logger.filter(record)
    shown = logging.Formatter().format(record)
    if isinstance(error, UserError):
        assert shown == f"ServerApp raised an exception: {error}"
    assert ("Traceback" in shown) == (not isinstance(error, UserError))
