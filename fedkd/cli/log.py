"""Errors that a user can mend, in the log of Flower's programs: in a line and without a traceback."""

import logging

from fedkd.errors import UserError

FLOWER = "flwr"
"""Name of Flower's logger."""


def say_mistakes_in_words() -> None:
    """Let Flower's log show what a ``UserError`` says where Flower would add its traceback."""
    logging.getLogger(FLOWER).addFilter(in_words)


def in_words(record: logging.LogRecord) -> bool:
    """Put the words of a ``UserError`` in the place of its traceback; every record is logged."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, UserError):
        record.msg, record.args, record.exc_info = "%s: %s", (record.getMessage(), error), None
    return True
