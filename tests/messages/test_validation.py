from typing import Any

import numpy as np
import pytest

from fedkd.messages.missing import Missing
from fedkd.messages.serialisation import MalformedError
from fedkd.messages.validation import LENGTH, REASONS, number, numbers, octets, refusals, short, text


def test_what_is_as_it_must_be_is_read() -> None:
    assert text("a\nb") == "a\nb"
    assert octets(b"a") == b"a"
    assert number(-(2**70)) == -(2**70)
    assert numbers([3, -1, 2**63 - 1]).tolist() == [3, -1, 2**63 - 1]
    assert numbers([]).dtype == np.int64
    assert refusals('{"late": [1, 2], "exhausted": []}') == {Missing.LATE: [1, 2], Missing.EXHAUSTED: []}


@pytest.mark.parametrize("value", [True, 1.0, float("nan"), "1", b"1", None, [1]])
def test_a_number_is_a_whole_number_alone(value: object) -> None:
    with pytest.raises(MalformedError):
        number(value)


@pytest.mark.parametrize("value", ["a", 1, None, [b"a"]])
def test_octets_are_bytes_alone(value: object) -> None:
    with pytest.raises(MalformedError):
        octets(value)


@pytest.mark.parametrize("value", [1, "12", b"12", [True], [1.0], ["1"], [[1]], [None], [2**63], [2**64 - 1], {1: 2}])
def test_numbers_are_a_list_of_whole_numbers_of_64_bits_alone(value: object) -> None:
    with pytest.raises(MalformedError):
        numbers(value)


WRONG = ["", "[1]", "1", "null", '{"x": "abc"}', '{"x": null}', '{"x": [[1], [2, 3]]}', '{"x": [NaN]}', b"{}", [1]]
HUGE = ["[" * 100_000, '{"x":' * 100_000, f'{{"x": [{"9" * 5000}]}}', '{"x": [1e999]}', f'{{"x": [{2**64 - 1}]}}']


@pytest.mark.parametrize("value", [*WRONG, *HUGE])
def test_refusals_are_reasons_and_lists_of_clients_alone(value: Any) -> None:
    with pytest.raises(MalformedError):
        refusals(value)


def test_reasons_are_few_and_known_and_texts_short_and_printable() -> None:
    many = ", ".join(f'"{reason}": []' for reason in range(REASONS + 1))
    with pytest.raises(MalformedError, match="reasons"):
        refusals(f"{{{many}}}")
    with pytest.raises(MalformedError, match="one of not-finite, exhausted"):
        refusals('{"ill": []}')
    assert short("x" * 999) == "x" * LENGTH
    assert short("\x1b[31mr\u00f4le\ud800\n") == "?[31mr\u00f4le??"
