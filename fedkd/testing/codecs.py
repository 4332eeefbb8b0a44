"""Checks of a codec: what is read is what was written, sizes are foretold, damage is found.

Call ``check_codec(MyCodec(), spec)`` in a test; an ``AssertionError`` says what is wrong.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from fedkd.messages.serialisation import MalformedError
from fedkd.messages.types import Codec, Spec
from fedkd.ragged import Ragged, offsets

CLIENTS, REST = 3, b"rest"


def check_codec(codec: Codec, spec: Spec) -> None:
    """Check a codec on arrays of one form that it fits, of several clients and of one.

    Parameters
    ----------
    codec : Codec
    spec : Spec
        The form. Where it sums, the sum and every client's own array travel.
    """
    assert codec.fits(spec), f"the codec does not fit {spec}"
    for form in (spec, replace(spec, sums=False)):
        check_round_trip(codec, form, CLIENTS)
        check_damage(codec, form, CLIENTS)
    check_sizes(codec, replace(spec, sums=False))


def check_round_trip(codec: Codec, spec: Spec, clients: int) -> None:
    """Check that an array comes back exactly, and that bytes behind it are left alone."""
    values = example(spec, clients)
    found, rest = codec.unpack(memoryview(codec.pack(values, spec) + REST), spec, clients)
    assert bytes(rest) == REST, f"{len(rest)} bytes are left of {len(REST)} that stand behind the array"
    if isinstance(values, Ragged):
        assert np.array_equal(found.lengths, values.lengths), "the clients' numbers of rows do not come back"
        found, values = found.values, values.values
    assert found.shape == values.shape, f"shape {values.shape} comes back as {found.shape}"
    assert np.array_equal(found, values), "the values that come back are others"


def check_damage(codec: Codec, spec: Spec, clients: int) -> None:
    """Check that missing bytes are refused."""
    data = codec.pack(example(spec, clients), spec)
    for length in {0, len(data) // 2, len(data) - 1}:
        try:
            codec.unpack(memoryview(data[:length]), spec, clients)
        except MalformedError:
            continue
        raise AssertionError(f"{length} bytes of {len(data)} are read without a MalformedError")


def check_sizes(codec: Codec, spec: Spec) -> None:
    """Check that the bytes of every client's array are what the codec says."""
    together = example(spec, CLIENTS)
    alone = [together.take(np.array([c])) if isinstance(together, Ragged) else together[[c]] for c in range(CLIENTS)]
    said = np.broadcast_to(codec.sizes(together, spec), CLIENTS).tolist()
    true = [len(codec.pack(own, spec)) for own in alone]
    assert said == true, f"the clients' arrays take {true} bytes, the codec says {said}"


def example(spec: Spec, clients: int) -> Any:
    """Return random arrays of some clients, or their sum, as they are released."""
    rng = np.random.default_rng(0)
    if -1 in spec.shape:
        indptr = offsets(np.arange(1, clients + 1))
        return Ragged(rng.normal(size=(indptr[-1], *spec.shape[1:])).astype(spec.dtype), indptr)
    shape = spec.shape if spec.sums else (clients, *spec.shape)
    if spec.quantiser is not None:
        low = -(1 << (spec.quantiser.bits - 1)) if spec.quantiser.signed else 0
        return rng.integers(low, low + (1 << spec.quantiser.bits), shape)
    return rng.normal(size=shape).astype(spec.dtype)
