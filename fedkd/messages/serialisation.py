"""Serialisation of named arrays; whole numbers may take any number of bits."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.missing import Failure, Missing

CHUNK = 1 << 18
"""Numbers that are expanded to bits at a time; a multiple of 8, so that each time they fill whole bytes."""


class MalformedError(ValueError):
    """The error of received bytes that are malformed.

    Parameters
    ----------
    message : str
        Details for people.
    reason : Missing
        The reason for which the answer then counts as missing.
    """

    def __init__(self, message: str, reason: Missing = Missing.MALFORMED) -> None:
        super().__init__(message)
        self.failure = Failure(reason, message)


def pack_bits(values: NDArray[np.int64], bits: int) -> bytes:
    """Write whole numbers modulo ``2**bits``, ``bits`` bits each, most significant bit first.

    Parameters
    ----------
    values : ndarray of int64, any shape
    bits : int
        From 1 to 63.
    """
    flat = values.reshape(-1)
    return b"".join(_packed(flat[start : start + CHUNK], bits) for start in range(0, flat.size, CHUNK))


def _packed(values: NDArray[np.int64], bits: int) -> bytes:
    wide = (values & ((1 << bits) - 1)).astype(">u8").view(np.uint8).reshape(-1, 8)
    return np.packbits(np.unpackbits(wide, axis=1)[:, 64 - bits :]).tobytes()


def unpack_bits(data: bytes, bits: int, count: int, signed: bool) -> NDArray[np.int64]:
    """Read what ``pack_bits`` wrote, shape [count]; ``signed`` reads the upper half of the range as negative."""
    packed, out = np.frombuffer(data, np.uint8), np.zeros(count, np.int64)
    for start in range(0, count, CHUNK):
        part = out[start : start + CHUNK]
        begin = start * bits // 8
        single = np.unpackbits(packed[begin : begin + packed_bytes(len(part), bits)], count=len(part) * bits)
        for column in single.reshape(-1, bits).T:
            part <<= 1
            part |= column
        if signed:
            part[part >= 1 << (bits - 1)] -= 1 << bits
    return out


def packed_bytes(count: int, bits: int) -> int:
    """Return the bytes that ``count`` numbers of ``bits`` bits take."""
    return (count * bits + 7) // 8


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> tuple[bytes, str]:
    """Write named arrays one after the other; return the bytes and their layout as JSON."""
    layout = [[name, array.dtype.newbyteorder("<").str, list(array.shape)] for name, array in arrays.items()]
    data = b"".join(np.ascontiguousarray(a, a.dtype.newbyteorder("<")).tobytes() for a in arrays.values())
    return data, json.dumps(layout, separators=(",", ":"))


def unpack_arrays(data: bytes, layout: str) -> dict[str, NDArray[Any]]:
    """Read what ``pack_arrays`` wrote, without copying."""
    arrays: dict[str, NDArray[Any]] = {}
    start = 0
    for name, dtype, shape in json.loads(layout):
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(data, np.dtype(dtype), count, start).reshape(shape)
        start += arrays[name].nbytes
    if start != len(data):
        raise MalformedError(f"the layout describes {start} bytes, {len(data)} came")
    return arrays
