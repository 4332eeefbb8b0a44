import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkd.messages import serialisation
from fedkd.messages.codecs.table import pack_answer, unpack_answer
from fedkd.messages.serialisation import (
    MalformedError,
    pack_arrays,
    pack_bits,
    packed_bytes,
    unpack_arrays,
    unpack_bits,
)
from fedkd.messages.types import Kind, Quantiser, Spec
from fedkd.ragged import Ragged


@given(st.integers(1, 40), st.lists(st.integers(-(2**45), 2**45), max_size=30))
def test_bits_come_back_modulo_the_power_of_two(bits: int, numbers: list[int]) -> None:
    data = pack_bits(np.array(numbers, np.int64), bits)
    assert len(data) == packed_bytes(len(numbers), bits)
    assert unpack_bits(data, bits, len(numbers), signed=False).tolist() == [n % 2**bits for n in numbers]


@given(st.integers(2, 40), st.data())
def test_negative_numbers_come_back_when_signed(bits: int, data: st.DataObject) -> None:
    half = 2 ** (bits - 1)
    numbers = data.draw(st.lists(st.integers(-half, half - 1), max_size=20))
    packed = pack_bits(np.array(numbers, np.int64), bits)
    assert unpack_bits(packed, bits, len(numbers), signed=True).tolist() == numbers


@pytest.mark.parametrize("bits", [1, 3, 18])
def test_numbers_are_the_same_however_many_are_expanded_at_a_time(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(0).integers(-(2**20), 2**20, 61)
    whole = pack_bits(numbers, bits)
    monkeypatch.setattr(serialisation, "CHUNK", 8)
    assert pack_bits(numbers, bits) == whole
    assert unpack_bits(whole, bits, 61, signed=False).tolist() == (numbers % 2**bits).tolist()


def test_known_bytes() -> None:
    assert pack_bits(np.array([1, 2, 3]), 3) == bytes([0b00101001, 0b10000000])


SPECS = {
    "counts": Spec(Kind.STATISTICS, (2, 3), quantiser=Quantiser(1.0, 0, 7, 5, signed=False)),
    "scores": Spec(Kind.SCORES, (4,)),
    "triples": Spec(Kind.RATED_ITEMS, (-1, 2), sums=False),
}


def answer() -> dict[str, object]:
    triples = Ragged(np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0, 1, 3]))
    return {"counts": np.arange(6).reshape(2, 3), "scores": np.ones(4), "triples": triples}


def test_answers_come_back() -> None:
    values = unpack_answer(pack_answer(answer(), SPECS), SPECS, clients=2)
    assert values["counts"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert values["scores"].tolist() == [1.0] * 4
    assert values["triples"][1].tolist() == [[2.0, 3.0], [4.0, 5.0]]


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b""])
def test_wrong_lengths_are_malformed(damage: object) -> None:
    with pytest.raises(MalformedError):
        unpack_answer(damage(pack_answer(answer(), SPECS)), SPECS, clients=2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_malformed(bad: float) -> None:
    values = answer() | {"scores": np.array([1, bad, 1, 1])}
    with pytest.raises(MalformedError, match="not finite"):
        unpack_answer(pack_answer(values, SPECS), SPECS, clients=2)


def test_a_huge_declared_length_is_malformed_and_reserves_no_memory() -> None:
    data = np.array([2**32 - 1, 2**32 - 1], "<u4").tobytes()
    with pytest.raises(MalformedError):
        unpack_answer(data, {"triples": SPECS["triples"]}, clients=2)


def test_arrays_come_back_with_names_types_and_shapes() -> None:
    arrays = {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "b": np.float16([[1.5]]), "c": np.zeros((0, 4))}
    back = unpack_arrays(*pack_arrays(arrays))
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert np.array_equal(back[name], array)


def test_a_layout_that_does_not_fit_is_malformed() -> None:
    data, layout = pack_arrays({"a": np.arange(3)})
    with pytest.raises(MalformedError, match="24 bytes"):
        unpack_arrays(data + b"x", layout)
