"""Numbers as they are, in the type of their spec."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.codecs.reading import cut, finite, little_endian, shape_of
from fedkd.messages.types import Codec, Spec


class Plain(Codec):
    """Numbers as they are, one after the other."""

    def fits(self, spec: Spec) -> bool:
        """Return whether the shape is fixed."""
        return -1 not in spec.shape and spec.quantiser is None

    def pack(self, values: NDArray[Any], spec: Spec) -> bytes:
        """Write an array."""
        return np.asarray(values).astype(little_endian(spec)).tobytes()

    def unpack(self, data: memoryview, spec: Spec, clients: int) -> tuple[NDArray[Any], memoryview]:
        """Read an array."""
        shape = shape_of(spec, clients)
        own, rest = cut(data, int(np.prod(shape)) * little_endian(spec).itemsize)
        return finite(np.frombuffer(own, little_endian(spec)).reshape(shape)), rest

    def sizes(self, values: Any, spec: Spec) -> int:
        """Return the bytes of one client's array."""
        del values
        return int(np.prod(spec.shape)) * little_endian(spec).itemsize
