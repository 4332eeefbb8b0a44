"""Serialisation of named arrays; whole numbers may take any number of bits."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.missing import Failure, Missing


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
    flat = (values.reshape(-1) & ((1 << bits) - 1)).astype(">u8")
    out = np.empty((flat.size, bits), np.uint8)
    for start in range(0, flat.size, 1 << 18):  # bounds the 64-fold expansion
        chunk = flat[start : start + (1 << 18)]
        out[start : start + len(chunk)] = np.unpackbits(chunk.view(np.uint8).reshape(-1, 8), axis=1)[:, 64 - bits :]
    return np.packbits(out).tobytes()


def unpack_bits(data: bytes, bits: int, count: int, signed: bool) -> NDArray[np.int64]:
    """Read what ``pack_bits`` wrote, shape [count]; ``signed`` reads the upper half of the range as negative."""
    flat = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits).reshape(count, bits)
    wide = np.zeros(count, np.int64)
    for column in range(bits):
        wide = (wide << 1) | flat[:, column]
    return np.where(wide >= 1 << (bits - 1), wide - (1 << bits), wide) if signed else wide


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
