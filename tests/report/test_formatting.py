"""Numbers as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkd.report.formatting import bytes_text, conditions, half_width, interval_text
from fedkd.report.run import Interval


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (75_213, "75.2 kB"), (999_900, "1 MB"), (6.4e9, "6.4 GB")]
)
def test_bytes_read_well(count: float, text: str) -> None:
    assert bytes_text(count) == text


@given(st.floats(1, 1e12))
def test_bytes_never_have_four_digits(count: float) -> None:
    number = float(bytes_text(count).split()[0])
    assert number < 1000 or count >= 999.5e9 or math.isclose(count, 1000, rel_tol=1e-3)


def test_an_interval_is_a_mean_and_half_its_width() -> None:
    assert interval_text(Interval(0.4471, 0.4351, 0.4591)) == "0.4471 ±0.0120"
    assert half_width(Interval(0.4471, 0.4351, 0.4591)) == "±0.012"
    assert (interval_text(Interval(0.5, 0.5, 0.5), 3), half_width(Interval(0.5, 0.5, 0.5))) == ("0.500", "")


def test_conditions_say_how_examples_are_sampled() -> None:
    poisson = {"unit": "interaction", "adjacency": "replace-one", "sampling": "Poisson"}
    assert conditions(poisson) == "one interaction, replace-one, Poisson sampling"
    assert conditions({}) == "one client, add-remove, no amplification"
