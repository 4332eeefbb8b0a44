"""A codec as a user would write one, and a protocol that uses it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.codecs.reading import cut, shape_of
from fedkd.messages.types import Asks, Codec, Spec
from fedkd.protocols.residual import Residual


class WholeBytes(Codec):
    """Whole numbers of at most 32 bits, in four bytes each."""

    def fits(self, spec: Spec) -> bool:
        return spec.quantiser is not None and spec.quantiser.bits <= 32

    def pack(self, values: NDArray[np.int64], spec: Spec) -> bytes:
        return values.astype("<i8").astype("<u4").tobytes()

    def unpack(self, data: memoryview, spec: Spec, clients: int) -> tuple[NDArray[np.int64], memoryview]:
        assert spec.quantiser is not None
        shape = shape_of(spec, clients)
        own, rest = cut(data, 4 * int(np.prod(shape)))
        read = np.frombuffer(own, "<i4" if spec.quantiser.signed else "<u4")
        return read.astype(np.int64).reshape(shape), rest

    def sizes(self, values: Any, spec: Spec) -> int:
        return 4 * int(np.prod(spec.shape))


class WideResidual(Residual):
    """The default protocol, its answers in whole bytes."""

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        return {name: replace(spec, codec=WholeBytes()) for name, spec in super().expects(asks).items()}
