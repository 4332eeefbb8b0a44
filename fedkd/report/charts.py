"""The geometry of the charts; the templates draw it as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fedkd.report.run import Interval

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 54, 30, 14, 50


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes
    ----------
    label : str
        What it measures, with its unit.
    low, high : float
        Its ends.
    ticks : tuple of (float, str)
        Where it is marked, and with what.
    logarithmic : bool
        Whether equal distances are equal factors.
    measured : bool
        Whether positions are measurements, so that no point may be moved along it to be seen better.
    """

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False
    measured: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, 0 at the low end and 1 at the high one."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Series:
    """Points of one model, joined in their order.

    Attributes
    ----------
    label : str
        For the legend.
    style : str
        The model, which decides colour and marker.
    x : sequence of float
        Positions.
    y : sequence of Interval
        Values with their intervals.
    """

    label: str
    style: str
    x: Sequence[float]
    y: Sequence[Interval]


@dataclass(frozen=True)
class Chart:
    """A chart with two axes.

    Attributes
    ----------
    name : str
        An identifier, unique on the page.
    title, description : str
        For people who hear the page.
    x, y : Axis
        The axes.
    series : tuple of Series
        Lines and markers.
    references : tuple of Series
        Levels, drawn as horizontal dashes; only their first value counts.
    """

    name: str
    title: str
    description: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    references: tuple[Series, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT

    def across(self, value: float) -> float:
        """Return the horizontal position of a value."""
        return round(LEFT + self.x.share(value) * (self.width - LEFT - RIGHT), 1)

    def down(self, value: float) -> float:
        """Return the vertical position of a value."""
        return round(self.height - BOTTOM - self.y.share(value) * (self.height - TOP - BOTTOM), 1)

    def aside(self, place: int) -> float:
        """Return how far to move the series at a place so that points of equal positions do not hide each other."""
        if self.x.measured:
            return 0.0
        single = all(len(line.x) == 1 for line in self.series)
        apart = 12 if single else 7 if any(y.high > y.low for line in self.series for y in line.y) else 0
        return (place - (len(self.series) - 1) / 2) * apart

    def path(self, series: Series) -> str:
        """Return the points of a series as the points of an SVG polyline."""
        return " ".join(f"{self.across(x)},{self.down(y.mean)}" for x, y in zip(series.x, series.y, strict=True))

    @property
    def plot(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the plotting area."""
        return LEFT, TOP, self.width - RIGHT, self.height - BOTTOM


def value_axis(label: str, values: Sequence[float], floor: float = 0.0) -> Axis:
    """Return an axis with round ticks and a little room around finite values, never below ``floor``."""
    low, high = min(values), max(values)
    room = max((high - low) * 0.1, abs(high) * 0.02, 1e-6)
    ticks = round_ticks(max(floor, low - room), high + room)
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return Axis(label, ticks[0], ticks[-1], tuple((tick, f"{tick:.{decimals}f}") for tick in ticks))


def round_ticks(low: float, high: float, about: int = 7) -> list[float]:
    """Return round numbers at equal distances that begin at or below ``low`` and end at or above ``high``."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, max(last, first + 1) + 1)]


def round_axis(rounds: Sequence[int]) -> Axis:
    """Return an axis of rounds, whole numbers; a single round stands in the middle."""
    low, high = min(rounds), max(rounds)
    if low == high:
        return Axis("round", low - 1, high + 1, ((low, str(low)),))
    step = max(1, math.ceil((high - low) / 8))
    return Axis("round", low, high, tuple((tick, str(tick)) for tick in range(low, high + 1, step)))


def bytes_axis(label: str, values: Sequence[float]) -> Axis:
    """Return an axis of positive bytes in equal factors, marked at 1, 2, 5, 10, ..., a long one at powers of ten."""
    least, most = min(values) * 0.8, max(values) * 1.25
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    ladder = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    low, high = max(mark for mark in ladder if mark <= least), min(mark for mark in ladder if mark >= most)
    marks = [mark for mark in ladder if low <= mark <= high]
    if len(marks) > 6:
        marks = [mark for mark in marks if math.log10(mark) % 1 < 1e-9]
    return Axis(label, low, high, tuple((mark, bytes_text(mark)) for mark in marks), logarithmic=True, measured=True)


def epsilon_axis(label: str, values: Sequence[float]) -> Axis:
    """Return an axis of positive budgets in equal factors, marked at those that were tried where there is room."""
    low, high = min(values) / 1.3, max(values) * 1.3
    whole, marks = Axis(label, low, high, (), logarithmic=True), list[float]()
    for value in sorted(set(values)):
        if not marks or whole.share(value) - whole.share(marks[-1]) > 0.08:
            marks.append(value)
    return replace(whole, ticks=tuple((mark, f"{mark:g}") for mark in marks))


def category_axis(label: str, names: Sequence[str]) -> Axis:
    """Return an axis with a name at 0, 1, 2, ..."""
    return Axis(label, -0.5, len(names) - 0.5, tuple((float(index), name) for index, name in enumerate(names)))


def bytes_text(count: float) -> str:
    """Return a number of bytes in the largest unit that leaves at least 1: ``75.2 kB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size * 0.9995:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"
