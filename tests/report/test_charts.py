import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkd.report.charts import bytes_axis, bytes_text, round_axis, round_ticks, value_axis

sizes = st.floats(1, 1e12)


@given(st.lists(st.floats(0, 1), min_size=1))
def test_a_value_axis_holds_its_values(values: list[float]) -> None:
    axis = value_axis("NDCG@20", values)
    assert axis.low >= 0
    assert all(-1e-9 <= axis.share(value) <= 1 + 1e-9 for value in values)
    assert 2 <= len(axis.ticks) <= 10
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


@given(st.floats(-1e3, 1e3), st.floats(1e-4, 1e3))
def test_round_ticks_are_equidistant_and_cover(low: float, width: float) -> None:
    ticks = round_ticks(low, low + width)
    steps = [b - a for a, b in pairwise(ticks)]
    assert ticks[0] <= low + 1e-6 * width + 1e-9
    assert ticks[-1] >= low + width * (1 - 1e-6) - 1e-9
    assert max(steps) == pytest.approx(min(steps), rel=1e-6, abs=1e-9)


@given(st.lists(sizes, min_size=1))
def test_a_bytes_axis_holds_its_values(values: list[float]) -> None:
    axis = bytes_axis("bytes", values)
    assert all(0 < axis.share(value) < 1 for value in values)
    assert len(axis.ticks) >= 2
    for (one, _), (two, _) in pairwise(axis.ticks):
        assert two > one


def test_equal_factors_are_equal_distances() -> None:
    axis = bytes_axis("bytes", [1e3, 1e9])
    assert axis.share(1e5) - axis.share(1e4) == pytest.approx(axis.share(1e8) - axis.share(1e7))
    assert [text for _, text in axis.ticks] == ["1 kB", "10 kB", "100 kB", "1 MB", "10 MB", "100 MB", "1 GB"]


@given(st.sets(st.integers(1, 500), min_size=1))
def test_rounds_are_marked_with_whole_numbers(rounds: set[int]) -> None:
    axis = round_axis(sorted(rounds))
    assert len(axis.ticks) <= 9
    assert all(0 <= axis.share(number) <= 1 for number in rounds)
    assert all(value == int(text) for value, text in axis.ticks)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (75_213, "75.2 kB"), (999_900, "1 MB"), (6.4e9, "6.4 GB")]
)
def test_bytes_read_well(count: float, text: str) -> None:
    assert bytes_text(count) == text


@given(sizes)
def test_bytes_never_have_four_digits(count: float) -> None:
    number = float(bytes_text(count).split()[0])
    assert number < 1000 or count >= 999.5e9 or math.isclose(count, 1000, rel_tol=1e-3)
