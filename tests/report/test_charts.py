"""Charts hold and show every series, level and label."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from fedkd.report.charts import Axis, Chart, Series, draw
from fedkd.report.run import Interval


def line(model: str, x: list[float], means: list[float], half: float = 0.0) -> Series:
    return Series(model.capitalize(), model, x, [Interval(y, y - half, y + half) for y in means])


def chart(axis: Axis, *series: Series, levels: tuple[Series, ...] = ()) -> Chart:
    return Chart("c", "Title", "Description.", axis, "NDCG@20", series, levels)


def drawn(shown: Chart) -> Axes:
    figure = draw(shown)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    return axes


def marks(axes: Axes) -> list[str]:
    low, high = axes.get_xlim()
    ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    return [text.get_text() for place, text in ticks if low <= place <= high]


TWO = (line("student", [1, 2, 9], [0.2, 0.3, 0.4], 0.01), line("teacher", [1, 2, 9], [0.1, 0.3, 0.5]))
LEVEL = line("ease", [], [0.6])


def test_every_series_and_level_is_drawn_and_named() -> None:
    axes = drawn(chart(Axis("round", "rounds"), *TWO, levels=(LEVEL,)))
    lines = {found.get_label(): found for found in axes.lines}
    assert list(lines["Ease 0.600"].get_ydata()) == [0.6, 0.6]
    assert {bar.get_label(): bar[0].get_xydata().tolist() for bar in axes.containers} == {
        "Student": [[1, 0.2], [2, 0.3], [9, 0.4]],
        "Teacher": [[1, 0.1], [2, 0.3], [9, 0.5]],
    }
    (legend,) = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Student", "Teacher", "Ease 0.600"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("round", "NDCG@20")


def test_intervals_are_drawn_where_there_are_any() -> None:
    axes = drawn(chart(Axis("round", "rounds"), *TWO))
    (whiskers,) = [found for found in axes.collections if isinstance(found, LineCollection)]
    ends = [segment[:, 1].tolist() for segment in whiskers.get_segments()]
    assert ends == [pytest.approx([y - 0.01, y + 0.01]) for y in (0.2, 0.3, 0.4)]


def test_a_mean_that_rounding_put_beside_its_interval_is_drawn() -> None:
    beside = Series("Student", "student", [1, 2], [Interval(0.3, 0.3 + 1e-16, 0.4), Interval(0.3, 0.2, 0.3 - 1e-16)])
    drawn(chart(Axis("round", "rounds"), beside))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.floats(0, 0.2))
def test_the_axes_hold_everything(means: list[float], half: float) -> None:
    places = [float(number) for number in range(1, len(means) + 1)]
    axes = drawn(chart(Axis("round", "rounds"), line("student", places, means, half), line("teacher", [1], [0.5])))
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert left < 1
    assert right > len(means)
    assert low <= min(0.5, *(y - half for y in [*means, means[0]]))
    assert high >= max(0.5, *(y + half for y in [*means, means[0]]))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(1, 1e12), min_size=1, max_size=9))
def test_bytes_are_in_equal_factors_and_marked(counts: list[float]) -> None:
    axes = drawn(chart(Axis("bytes", "bytes"), line("student", sorted(counts), [0.5] * len(counts))))
    assert axes.get_xscale() == "log"
    low, high = axes.get_xlim()
    assert low < min(counts) <= max(counts) < high
    assert 1 <= len(marks(axes)) <= 13


def test_a_long_axis_of_bytes_is_marked_at_powers_of_ten() -> None:
    axes = drawn(chart(Axis("bytes", "bytes"), line("student", [1e3, 1e9], [0.1, 0.2])))
    assert marks(axes) == ["1 kB", "10 kB", "100 kB", "1 MB", "10 MB", "100 MB", "1 GB"]


def test_epsilons_are_marked_where_they_were_tried() -> None:
    axes = drawn(chart(Axis("epsilon", "factors"), line("student", [0.5, 4.0], [0.1, 0.2])))
    assert marks(axes) == ["0.5", "4"]
    many = [float(number) for number in range(1, 30)]
    shown = marks(drawn(chart(Axis("epsilon", "factors"), line("student", many, many))))
    assert shown == ["0.5", "1", "2", "5", "10", "20", "50"]


@pytest.mark.parametrize("rounds", [[1], [1, 2], [3, 500], list(range(1, 31))])
def test_rounds_are_marked_with_whole_numbers(rounds: list[float]) -> None:
    shown = marks(drawn(chart(Axis("round", "rounds"), line("student", rounds, rounds))))
    assert 1 <= len(shown) <= 10
    assert all(text.isdigit() for text in shown)


def test_names_stand_at_their_places() -> None:
    axes = drawn(chart(Axis("targets", "names", ("head", "tail")), line("student", [0, 1], [0.1, 0.2], 0.01)))
    assert marks(axes) == ["head", "tail"]


def offsets(shown: Chart) -> list[float]:
    axes = drawn(shown)
    at = [bar[0].get_transform().transform((1, 0))[0] for bar in axes.containers][::-1]
    return [place - axes.transData.transform((1, 0))[0] for place in at]


def test_points_of_equal_positions_stand_beside_each_other_and_measured_ones_where_they_are() -> None:
    one = (line("student", [1], [0.2]), line("teacher", [1], [0.2]))
    apart = offsets(chart(Axis("round", "rounds"), *one))
    assert apart[0] == pytest.approx(-apart[1])
    assert apart[0] != 0
    assert offsets(chart(Axis("bytes", "bytes"), *one)) == pytest.approx([0, 0])
    long = (line("student", [1, 2], [0.2, 0.3]), line("teacher", [1, 2], [0.2, 0.3]))
    assert offsets(chart(Axis("round", "rounds"), *long)) == pytest.approx([0, 0])


def test_the_numbers_are_in_words_and_in_a_table() -> None:
    shown = chart(Axis("round", "rounds"), *TWO, levels=(LEVEL,))
    assert shown.heading == "Title: NDCG@20 by round"
    assert shown.numbers == "Student: 0.200, 0.300, 0.400. Teacher: 0.100, 0.300, 0.500. Ease 0.600."
    assert shown.table == [
        ("1", ["0.200 ±0.010", "0.100"]),
        ("2", ["0.300 ±0.010", "0.300"]),
        ("9", ["0.400 ±0.010", "0.500"]),
    ]
    apart = chart(Axis("bytes", "bytes"), line("student", [1e3], [0.1]), line("teacher", [2e3], [0.2]))
    assert apart.table == [("1 kB", ["0.100", ""]), ("2 kB", ["", "0.200"])]
    assert '<svg class="chart"' in shown.svg()
