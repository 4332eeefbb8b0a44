"""Whole numbers, each in as many bits as its quantiser says."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.codecs.reading import cut, shape_of
from fedkd.messages.serialisation import pack_bits, packed_bytes, unpack_bits
from fedkd.messages.types import Codec, Quantiser, Spec


class Quantised(Codec):
    """Whole numbers, each in as many bits as its quantiser says."""

    def fits(self, spec: Spec) -> bool:
        """Return whether values are quantised, in a fixed shape."""
        return -1 not in spec.shape and spec.quantiser is not None

    def pack(self, values: NDArray[np.int64], spec: Spec) -> bytes:
        """Write an array."""
        return pack_bits(values, _quantiser(spec).bits)

    def unpack(self, data: memoryview, spec: Spec, clients: int) -> tuple[NDArray[np.int64], memoryview]:
        """Read an array."""
        shape, quantiser = shape_of(spec, clients), _quantiser(spec)
        count = int(np.prod(shape))
        own, rest = cut(data, packed_bytes(count, quantiser.bits))
        return unpack_bits(bytes(own), quantiser.bits, count, quantiser.signed).reshape(shape), rest

    def sizes(self, values: Any, spec: Spec) -> int:
        """Return the bytes of one client's array."""
        del values
        return packed_bytes(int(np.prod(spec.shape)), _quantiser(spec).bits)


def _quantiser(spec: Spec) -> Quantiser:
    assert spec.quantiser is not None
    return spec.quantiser
