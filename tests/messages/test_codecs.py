"""Codecs of the package and one of a user's own keep the contract, and a run with that comes to the same result."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedkd.messages.codecs.plain import Plain
from fedkd.messages.codecs.quantised import Quantised
from fedkd.messages.codecs.ragged import RaggedRows
from fedkd.messages.codecs.table import CODECS, codec_of, pack_answer, unpack_answer
from fedkd.messages.serialisation import MalformedError
from fedkd.messages.types import Codec, Kind, Quantiser, Spec
from fedkd.runs.config import load
from fedkd.runs.folder import RunFolder
from fedkd.testing.codecs import check_codec
from simulations.run import simulate
from tests.messages.foreign import WholeBytes
from tests.timeless import timeless

SIGNED, UNSIGNED = Quantiser(0.25, -8, 7, 11), Quantiser(1.0, 0, 7, 13, signed=False)
FORMS: list[tuple[Codec, Spec]] = [
    (Plain(), Spec(Kind.SCORES, (4, 3), dtype="float16")),
    (Plain(), Spec(Kind.STATISTICS, ())),
    (Quantised(), Spec(Kind.SCORES, (4, 3), quantiser=SIGNED)),
    (Quantised(), Spec(Kind.VOTES, (5,), quantiser=UNSIGNED)),
    (RaggedRows(), Spec(Kind.RATED_ITEMS, (-1, 2), sums=False)),
    (WholeBytes(), Spec(Kind.SCORES, (4, 3), quantiser=SIGNED)),
    (WholeBytes(), Spec(Kind.VOTES, (5,), quantiser=UNSIGNED)),
]
SMALL = [
    "data.synthetic.users=40",
    "data.synthetic.items=30",
    "data.synthetic.mean-history=10",
    "algorithm.rank=4",
    "evaluation.baselines=[]",
    "runtime.threads=1",
]


@pytest.mark.parametrize(("codec", "spec"), FORMS)
def test_a_codec_keeps_the_contract(codec: Codec, spec: Spec) -> None:
    check_codec(codec, spec)
    assert type(codec_of(replace(spec, codec=codec))) is type(codec)


def test_every_codec_of_the_table_is_checked_and_found() -> None:
    checked = {type(codec) for codec, _ in FORMS}
    assert checked >= {type(codec) for codec in CODECS}
    assert all(type(codec_of(spec)) is type(codec) for codec, spec in FORMS if codec.__class__ is not WholeBytes)


class Forgetful(WholeBytes):
    """Loses the sign, the bytes behind, or a byte of its size, as told."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def unpack(self, data: memoryview, spec: Spec, clients: int) -> tuple[NDArray[np.int64], memoryview]:
        values, rest = super().unpack(data, spec, clients)
        return (abs(values) if self.fault == "sign" else values), (rest[:0] if self.fault == "rest" else rest)

    def sizes(self, values: Any, spec: Spec) -> int:
        return super().sizes(values, spec) - (self.fault == "sizes")


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("sign", "the values that come back are others"),
        ("rest", "0 bytes are left of 4"),
        ("sizes", "the codec says"),
    ],
)
def test_a_faulty_codec_is_found(fault: str, found: str) -> None:
    with pytest.raises(AssertionError, match=found):
        check_codec(Forgetful(fault), Spec(Kind.SCORES, (4, 3), quantiser=SIGNED))


def test_a_codec_that_does_not_fit_is_named() -> None:
    spec = Spec(Kind.SCORES, (2,), codec=WholeBytes())
    with pytest.raises(ValueError, match="WholeBytes cannot write arrays of the form"):
        pack_answer({"x": np.zeros(2)}, {"x": spec})
    with pytest.raises(ValueError, match="RaggedRows, Quantised, Plain cannot write"):
        codec_of(Spec(Kind.SCORES, (2, -1)))


def test_what_is_wrong_names_the_array() -> None:
    spec = Spec(Kind.SCORES, (2,), sums=False, quantiser=SIGNED, codec=WholeBytes())
    with pytest.raises(MalformedError, match="x must take 24 bytes, 5 came"):
        unpack_answer(bytes(5), {"x": spec}, clients=3)


def test_a_run_with_a_codec_of_ones_own_comes_to_the_same_result(tmp_path: Path) -> None:
    folders = []
    for name in ("residual", "tests.messages.foreign:WideResidual"):
        place = tmp_path / name.rpartition(":")[2]
        simulate(load(None, [*SMALL, f"algorithm.name={name}", f"runtime.run-folder={place}"]))
        folders.append(RunFolder.open(place))
    own, wide = (folder.summary() for folder in folders)
    assert all(timeless(row) == timeless(wide["models"][name]) for name, row in own["models"].items())
    assert own["traffic"]["up-bytes-per-client-round"] < wide["traffic"]["up-bytes-per-client-round"]
