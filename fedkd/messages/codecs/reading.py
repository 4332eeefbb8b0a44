"""Reading and checking bytes, for all codecs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.serialisation import MalformedError
from fedkd.messages.types import Spec


def cut(data: memoryview, length: int) -> tuple[memoryview, memoryview]:
    """Return the first bytes and those behind, or raise a ``MalformedError`` where there are too few."""
    if len(data) < length:
        raise MalformedError(f"must take {length} bytes, {len(data)} came")
    return data[:length], data[length:]


def finite(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values, or raise a ``MalformedError`` where one is NaN or infinite."""
    if not np.isfinite(values).all():
        raise MalformedError("holds values that are not finite")
    return values


def little_endian(spec: Spec) -> np.dtype[Any]:
    """Return the type in which numbers travel that are not quantised."""
    return np.dtype(spec.dtype).newbyteorder("<")


def shape_of(spec: Spec, clients: int) -> tuple[int, ...]:
    """Return the shape of what a number of clients write together."""
    return spec.shape if spec.sums else (clients, *spec.shape)
