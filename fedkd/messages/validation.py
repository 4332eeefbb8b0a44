"""Strict reading of values that somebody else wrote: nothing but ``MalformedError`` is ever raised."""

import json

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.missing import Missing
from fedkd.messages.serialisation import MalformedError

LENGTH = 200
"""Characters of somebody else's text that are kept."""

REASONS = 16
"""Most reasons that one answer may give for those who are not in it."""


def text(value: object) -> str:
    """Read a text of any length."""
    if isinstance(value, str):
        return value
    raise MalformedError(f"text must stand here, {type(value).__name__} does")


def short(value: object) -> str:
    """Read a text that will be shown: it is cut, and what cannot be printed, such as a terminal's commands, is not."""
    return "".join(one if one.isprintable() else "?" for one in text(value)[:LENGTH])


def octets(value: object) -> bytes:
    """Read bytes of any number."""
    if isinstance(value, bytes):
        return value
    raise MalformedError(f"bytes must stand here, {type(value).__name__} does")


def number(value: object) -> int:
    """Read a whole number; ``True`` is none."""
    if type(value) is int:
        return value
    raise MalformedError(f"a whole number must stand here, {type(value).__name__} does")


def numbers(value: object) -> NDArray[np.int64]:
    """Read a list of whole numbers."""
    if not isinstance(value, list):
        raise MalformedError(f"a list of whole numbers must stand here, {type(value).__name__} does")
    if not all(-(1 << 63) <= number(one) < 1 << 63 for one in value):
        raise MalformedError("a list of whole numbers of 64 bits must stand here, a larger one does")
    return np.array(value, np.int64)


def refusals(value: object) -> dict[Missing, list[int]]:
    """Read which clients are refused an answer, by reason, out of JSON."""
    try:
        parsed = json.loads(text(value))
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"refusals are no JSON ({type(error).__name__})") from None
    if not isinstance(parsed, dict) or len(parsed) > REASONS:
        raise MalformedError(f"refusals must be at most {REASONS} reasons, with the clients of each")
    return {reason(name): numbers(clients).tolist() for name, clients in parsed.items()}


def reason(value: object) -> Missing:
    """Read why an answer is missing."""
    try:
        return Missing(value)
    except ValueError:
        raise MalformedError(f"a reason must be one of {', '.join(one.value for one in Missing)}") from None
