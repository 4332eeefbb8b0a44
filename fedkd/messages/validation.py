"""Strict reading of received values, which raises ``MalformedError`` and nothing else."""

import json

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.missing import Missing
from fedkd.messages.serialisation import MalformedError

LENGTH = 200
"""Most characters that are kept of a received text."""

REASONS = 16
"""Most reasons that one answer may give for missing clients."""


def text(value: object) -> str:
    """Read a text of any length."""
    if isinstance(value, str):
        return value
    raise MalformedError(f"expected text, got {type(value).__name__}")


def short(value: object) -> str:
    """Read a text to be shown: it is shortened, and characters that cannot be printed become question marks."""
    return "".join(one if one.isprintable() else "?" for one in text(value)[:LENGTH])


def octets(value: object) -> bytes:
    """Read bytes of any number."""
    if isinstance(value, bytes):
        return value
    raise MalformedError(f"expected bytes, got {type(value).__name__}")


def number(value: object) -> int:
    """Read a whole number; ``True`` does not count as one."""
    if type(value) is int:
        return value
    raise MalformedError(f"expected a whole number, got {type(value).__name__}")


def numbers(value: object) -> NDArray[np.int64]:
    """Read a list of whole numbers."""
    if not isinstance(value, list):
        raise MalformedError(f"expected a list of whole numbers, got {type(value).__name__}")
    if not all(-(1 << 63) <= number(one) < 1 << 63 for one in value):
        raise MalformedError("expected a list of whole numbers of 64 bits, got a larger number")
    return np.array(value, np.int64)


def refusals(value: object) -> dict[Missing, list[int]]:
    """Read the clients that got no answer, by reason, from JSON."""
    try:
        parsed = json.loads(text(value))
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"refusals are no JSON ({type(error).__name__})") from None
    if not isinstance(parsed, dict) or len(parsed) > REASONS:
        raise MalformedError(f"refusals must be at most {REASONS} reasons, with the clients of each")
    return {reason(name): numbers(clients).tolist() for name, clients in parsed.items()}


def reason(value: object) -> Missing:
    """Read the reason of a missing answer."""
    try:
        return Missing(value)
    except ValueError:
        raise MalformedError(f"a reason must be one of {', '.join(one.value for one in Missing)}") from None
