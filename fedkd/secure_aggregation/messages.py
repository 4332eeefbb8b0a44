"""Sets of clients and fields of fixed length as bytes."""

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.serialisation import MalformedError

Flags = NDArray[np.bool_]


def pack_set(members: NDArray[np.integer] | list[int], size: int) -> bytes:
    """Write a set of numbers below ``size`` with one bit each."""
    flags = np.zeros(size, np.bool_)
    flags[np.asarray(members, np.int64)] = True
    return np.packbits(flags).tobytes()


def unpack_set(data: bytes, size: int) -> Flags:
    """Read what ``pack_set`` wrote, shape [size].

    Raises
    ------
    MalformedError
        Too few or too many bytes, or a member that is not below ``size``.
    """
    if len(data) != set_bytes(size):
        raise MalformedError(f"a set among {size} takes {set_bytes(size)} bytes, {len(data)} came")
    flags = np.unpackbits(np.frombuffer(data, np.uint8)).astype(np.bool_)
    if flags[size:].any():
        raise MalformedError(f"a set among {size} names a member beyond them")
    return flags[:size]


def listed(members: Flags) -> list[int]:
    """Return the members of a set, ascending."""
    return [int(member) for member in np.flatnonzero(members)]


def set_bytes(size: int) -> int:
    """Return the bytes a set of numbers below ``size`` takes."""
    return (size + 7) // 8


def cut(data: bytes, width: int) -> list[bytes]:
    """Split bytes into fields of equal width.

    Raises
    ------
    MalformedError
        The bytes do not divide evenly.
    """
    if len(data) % width:
        raise MalformedError(f"fields of {width} bytes expected, {len(data)} bytes came")
    return [data[start : start + width] for start in range(0, len(data), width)]
