"""Charts of measurements: points of models with their intervals, between levels to judge them by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fedkd.report.formatting import bytes_text, interval_text
from fedkd.report.plots import COLOURS, drawing, inline_svg
from fedkd.report.run import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, LINE = 520, 300, 22
"""In points: of a chart without its legend, and the height of a line of the legend."""

MARKERS = {"student": "o", "teacher": "s", "ease": "D", "undistilled": "v"}
PAINT = {"popularity": "level", "public-teacher": "other", "public-student": "other", "unprotected": "student"}
PAINT |= {"centralised": "ease", "undistilled": "level", "tuned": "other"}
"""Colours of models that have none of their own; other series are in ``other``, other levels in ``level``."""

PALETTE = ("student", "teacher", "ease", "other", "level")
"""Looks of series that no model tells apart, in their order."""

DASHES = {
    "popularity": (2, 4),
    "public-teacher": (10, 3, 2, 3),
    "public-student": (3, 1.5),
    "centralised": (2, 3),
}
"""Dashes of levels, in widths of the line; others are 6 on, 4 off."""


@dataclass(frozen=True)
class Axis:
    """A horizontal axis.

    Attributes
    ----------
    label : str
        What it measures, with its unit.
    kind : str
        ``rounds`` (whole numbers), ``bytes`` and ``factors`` (positive, in equal factors), ``names`` (0, 1, 2, ...).
    names : tuple of str
        What stands at 0, 1, 2, ...
    """

    label: str
    kind: Literal["rounds", "bytes", "factors", "names"]
    names: tuple[str, ...] = ()

    def text(self, value: float) -> str:
        """Return a position as people read it."""
        if self.kind == "names":
            return self.names[int(value)]
        return bytes_text(value) if self.kind == "bytes" else f"{value:g}"


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
    """A chart of one metric.

    Attributes
    ----------
    name : str
        An identifier, unique on the page.
    title, description : str
        The words above it.
    x : Axis
        The horizontal axis.
    metric : str
        What is measured, for people.
    series : tuple of Series
        Lines and markers.
    references : tuple of Series
        Levels, drawn as horizontal dashes; only their first value counts.
    notes : tuple of str
        Lines inside the picture, for one that leaves its page.
    """

    name: str
    title: str
    description: str
    x: Axis
    metric: str
    series: tuple[Series, ...]
    references: tuple[Series, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """The title for people who hear the page."""
        return f"{self.title}: {self.metric} by {self.x.label}"

    @property
    def numbers(self) -> str:
        """Everything that is drawn, as a sentence for every model."""
        values = [f"{line.label}: {', '.join(f'{y.mean:.3f}' for y in line.y)}." for line in self.series]
        return " ".join([*values, *(f"{legend_text(level)}." for level in self.references)])

    @property
    def table(self) -> list[tuple[str, list[str]]]:
        """Everything that is drawn along the axis: a cell for every series by position, empty where it has no point."""
        found = [{x: interval_text(y, 3) for x, y in zip(line.x, line.y, strict=True)} for line in self.series]
        places = sorted({x for line in found for x in line})
        return [(self.x.text(x), [line.get(x, "") for line in found]) for x in places]

    def svg(self) -> str:
        """Return the chart as a part of a page."""
        return inline_svg(draw(self), self.name, self.heading, self.numbers)


def legend_text(level: Series) -> str:
    """Return the name of a level with its value."""
    return f"{level.label} {level.y[0].mean:.3f}"


def draw(chart: Chart) -> "Figure":
    """Return a chart as a figure, its legend beneath."""
    rows = -(-(len(chart.series) + len(chart.references)) // 2) + len(chart.notes)
    with drawing(WIDTH, HEIGHT + LINE * rows) as figure:
        axes = figure.subplots()
        _frame(axes, chart)
        for level in chart.references:
            dashes = (0, DASHES.get(level.style, (6, 4)))
            axes.axhline(level.y[0].mean, color=_colour(level, "level"), linestyle=dashes, label=legend_text(level))
        for place, line in reversed(list(enumerate(chart.series))):  # the first one on top
            _points(axes, line, _aside(chart, place), 10 - place)
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        labels = [line.label for line in chart.series] + [legend_text(level) for level in chart.references]
        figure.legend([handles[label] for label in labels], labels, loc="outside lower left", ncols=2)
    return figure


def _points(axes: "Axes", line: Series, aside: float, layer: int) -> None:
    from matplotlib.transforms import ScaledTranslation

    shifted = axes.transData + ScaledTranslation(aside / 72, 0, axes.figure.dpi_scale_trans)
    below, above = [max(0.0, y.mean - y.low) for y in line.y], [max(0.0, y.high - y.mean) for y in line.y]
    axes.update_datalim([(x, end) for x, y in zip(line.x, line.y, strict=True) for end in (y.low, y.high)])
    axes.errorbar(
        list(line.x),
        [y.mean for y in line.y],
        yerr=[below, above] if any(above) or any(below) else None,
        color=_colour(line, "other"),
        marker=MARKERS.get(line.style, "^"),
        markersize=8,
        linestyle=" " if len(line.x) == 1 else "-",
        markeredgecolor=COLOURS["panel"][0],
        linewidth=2.5,
        elinewidth=1.5,
        label=line.label,
        transform=shifted,
        clip_on=False,
        zorder=layer,
    )


def _colour(series: Series, otherwise: str) -> str:
    name = series.style if series.style in COLOURS else PAINT.get(series.style, otherwise)
    return COLOURS[name][0]


def _aside(chart: Chart, place: int) -> float:
    """Return the shift of a series that keeps points of equal positions apart; measured positions stay."""
    if chart.x.kind == "bytes":
        return 0.0
    single = all(len(line.x) == 1 for line in chart.series)
    apart = 12 if single else 7 if any(y.high > y.low for line in chart.series for y in line.y) else 0
    return (place - (len(chart.series) - 1) / 2) * apart


def _frame(axes: "Axes", chart: Chart) -> None:
    axes.grid(visible=False, axis="x")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.set(xlabel=chart.x.label, ylabel=chart.metric)
    axes.set_title("\n".join(chart.notes), fontsize="small")
    _marks(axes, chart, [x for line in chart.series for x in line.x])


def _marks(axes: "Axes", chart: Chart, places: Sequence[float]) -> None:
    from matplotlib import ticker

    if chart.x.kind == "names":
        axes.set_xticks(range(len(chart.x.names)), chart.x.names)
        axes.set_xlim(-0.5, len(chart.x.names) - 0.5)
    elif chart.x.kind == "rounds":
        axes.xaxis.set_major_locator(ticker.MaxNLocator(8, integer=True, min_n_ticks=1))
        axes.set_xlim(min(places) - 0.7, max(places) + 0.7)
    else:
        _logarithmic(axes, chart, places)


def _logarithmic(axes: "Axes", chart: Chart, places: Sequence[float]) -> None:
    """Mark equal factors at 1, 2, 5, 10, ..., long axes at powers of ten, and factors where they were tried."""
    from matplotlib import ticker

    low, high = min(places), max(places)
    axes.set(xscale="log", xlim=(low / 2, high * 2))
    marks: ticker.Locator = ticker.LogLocator(subs=(1, 2, 5) if high / low < 50 else (1,))
    if chart.x.kind == "factors" and len(set(places)) <= 8:
        marks = ticker.FixedLocator(sorted(set(places)))
    axes.xaxis.set(
        major_locator=marks,
        minor_locator=ticker.NullLocator(),
        major_formatter=ticker.FuncFormatter(lambda value, _: chart.x.text(value)),
    )
