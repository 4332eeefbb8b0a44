"""Serialisation of named arrays; whole numbers may take any number of bits."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.missing import Failure, Missing
from fedkd.messages.types import Spec
from fedkd.ragged import Ragged, offsets


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


def pack_answer(values: Mapping[str, Any], specs: Mapping[str, Spec]) -> bytes:
    """Write the released arrays of an answer, in the order of the specs."""
    return b"".join(_pack_one(values[name], spec) for name, spec in specs.items())


def unpack_answer(data: bytes, specs: Mapping[str, Spec], clients: int) -> dict[str, Any]:
    """Read and check what ``pack_answer`` wrote for a number of clients.

    Raises
    ------
    MalformedError
        Too few or too many bytes, or values that are not finite.
    """
    values: dict[str, Any] = {}
    rest = memoryview(data)
    for name, spec in specs.items():
        values[name], rest = _unpack_one(rest, name, spec, clients)
    if len(rest):
        raise MalformedError(f"{len(rest)} bytes too many")
    return values


def _pack_one(values: Any, spec: Spec) -> bytes:
    if isinstance(values, Ragged):
        return values.lengths.astype("<u4").tobytes() + values.values.astype(_wire_dtype(spec)).tobytes()
    if spec.quantiser is not None:
        return pack_bits(values, spec.quantiser.bits)
    return np.asarray(values).astype(_wire_dtype(spec)).tobytes()


def _wire_dtype(spec: Spec) -> np.dtype[Any]:
    return np.dtype(spec.dtype).newbyteorder("<")


def _cut(data: memoryview, length: int, name: str) -> tuple[memoryview, memoryview]:
    if len(data) < length:
        raise MalformedError(f"{name} must take {length} bytes, {len(data)} came")
    return data[:length], data[length:]


def _unpack_one(data: memoryview, name: str, spec: Spec, clients: int) -> tuple[Any, memoryview]:
    if -1 in spec.shape:
        return _unpack_ragged(data, name, spec, clients)
    shape = spec.shape if spec.sums else (clients, *spec.shape)
    count = int(np.prod(shape))
    if spec.quantiser is not None:
        mine, rest = _cut(data, packed_bytes(count, spec.quantiser.bits), name)
        return unpack_bits(bytes(mine), spec.quantiser.bits, count, spec.quantiser.signed).reshape(shape), rest
    mine, rest = _cut(data, count * _wire_dtype(spec).itemsize, name)
    return _checked(np.frombuffer(mine, _wire_dtype(spec)).reshape(shape), name), rest


def _unpack_ragged(data: memoryview, name: str, spec: Spec, clients: int) -> tuple[Ragged, memoryview]:
    lengths, data = _cut(data, 4 * clients, name)
    indptr = offsets(np.frombuffer(lengths, "<u4"))
    tail = spec.shape[1:]
    row_bytes = int(np.prod(tail, dtype=np.int64)) * _wire_dtype(spec).itemsize
    mine, rest = _cut(data, int(indptr[-1]) * row_bytes, name)
    values = _checked(np.frombuffer(mine, _wire_dtype(spec)).reshape(-1, *tail), name)
    return Ragged(values, indptr), rest


def _checked(values: NDArray[Any], name: str) -> NDArray[Any]:
    if not np.isfinite(values).all():
        raise MalformedError(f"{name} holds values that are not finite")
    return values


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
