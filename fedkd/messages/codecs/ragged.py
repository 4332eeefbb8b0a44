"""Rows whose number differs between clients, behind their counts."""

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.codecs.reading import cut, finite, little_endian
from fedkd.messages.types import Codec, Spec
from fedkd.ragged import Ragged, offsets

COUNT = np.dtype("<u4")


class RaggedRows(Codec):
    """Rows whose number differs between clients, behind their counts."""

    def fits(self, spec: Spec) -> bool:
        """Return whether the number of rows is open."""
        return spec.shape[:1] == (-1,)

    def pack(self, values: Ragged, spec: Spec) -> bytes:
        """Write the counts of all clients, then their rows."""
        return values.lengths.astype(COUNT).tobytes() + values.values.astype(little_endian(spec)).tobytes()

    def unpack(self, data: memoryview, spec: Spec, clients: int) -> tuple[Ragged, memoryview]:
        """Read counts and rows."""
        counts, data = cut(data, COUNT.itemsize * clients)
        indptr = offsets(np.frombuffer(counts, COUNT))
        own, rest = cut(data, int(indptr[-1]) * _row_bytes(spec))
        values = np.frombuffer(own, little_endian(spec)).reshape(-1, *spec.shape[1:])
        return Ragged(finite(values), indptr), rest

    def sizes(self, values: Ragged, spec: Spec) -> NDArray[np.int64]:
        """Return the bytes of every client's rows with their count, shape [clients]."""
        return np.asarray(COUNT.itemsize + values.lengths * _row_bytes(spec), np.int64)


def _row_bytes(spec: Spec) -> int:
    return int(np.prod(spec.shape[1:], dtype=np.int64)) * little_endian(spec).itemsize
