"""The codecs of the package, and answers written and read with them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.codecs.plain import Plain
from fedkd.messages.codecs.quantised import Quantised
from fedkd.messages.codecs.ragged import RaggedRows
from fedkd.messages.serialisation import MalformedError
from fedkd.messages.types import Answers, Codec, Spec

CODECS: tuple[Codec, ...] = (RaggedRows(), Quantised(), Plain())
"""Of those that fit a spec which names none, the first writes its arrays."""


def codec_of(spec: Spec) -> Codec:
    """Return the codec that the spec names, or the first of the table that fits it; a ``ValueError`` if it does not."""
    choice = CODECS if spec.codec is None else (spec.codec,)
    for codec in choice:
        if codec.fits(spec):
            return codec
    names = ", ".join(type(codec).__name__ for codec in choice)
    raise ValueError(f"{names} cannot write arrays of the form {spec}")


def pack_answer(values: Mapping[str, Any], specs: Mapping[str, Spec]) -> bytes:
    """Write the released arrays of an answer, in the order of the specs."""
    return b"".join(codec_of(spec).pack(values[name], spec) for name, spec in specs.items())


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
        try:
            values[name], rest = codec_of(spec).unpack(rest, spec, clients)
        except MalformedError as error:
            raise MalformedError(f"{name} {error}", error.failure.reason) from error
    if len(rest):
        raise MalformedError(f"{len(rest)} bytes too many")
    return values


def payload_sizes(answers: Answers, specs: Mapping[str, Spec]) -> NDArray[np.int64]:
    """Return the bytes of the arrays that each client alone would send, shape [clients]."""
    payloads = np.zeros(len(answers.clients), np.int64)
    for name, spec in specs.items():
        payloads += codec_of(spec).sizes(answers.values.get(name), spec)
    return payloads
