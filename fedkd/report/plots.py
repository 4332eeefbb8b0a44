"""Drawing with matplotlib: figures, and how they become files or a part of a page.

Pictures are the same whenever and wherever they are drawn. Text stays text, and on pages it takes the page's font.
Matplotlib is imported where it is used, as it takes a second that nobody should wait for who draws nothing.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedkd.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "panel": ("#ffffff", "#181f28"),
    "soft": ("#566273", "#a3afbd"),
    "line": ("#dfe4ea", "#2c3744"),
    "student": ("#0b6bcb", "#5cb0ff"),
    "teacher": ("#b8450b", "#ff9a5c"),
    "ease": ("#20794a", "#5fd093"),
    "other": ("#7a5aa6", "#c0a2ee"),
    "level": ("#67727f", "#93a0ae"),
}
"""Colours of charts on a light and on a dark page, by the names of their CSS variables."""

SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "fedkd",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",  # comes with matplotlib; wider than most, so that no other font needs more room
    "font.size": 12,
    "text.color": COLOURS["soft"][0],
    "axes.labelcolor": COLOURS["soft"][0],
    "axes.edgecolor": COLOURS["soft"][0],
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLOURS["line"][0],
    "xtick.color": COLOURS["soft"][0],
    "ytick.color": COLOURS["soft"][0],
    "legend.frameon": False,
}
POINTS = 72
"""An SVG of matplotlib has so many units to an inch."""


@contextmanager
def drawing(width: float, height: float) -> Iterator["Figure"]:
    """Give an empty figure, its size in points, to draw in the project's style; its parts make room for each other."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):
        yield Figure(figsize=(width / POINTS, height / POINTS), layout="constrained")


def save(figure: "Figure", path: Path) -> None:
    """Write a figure into a file; its ending (.svg, .png) is the format.

    Raises
    ------
    UserError
        The file cannot be written, or its ending names no known format.
    """
    import matplotlib

    try:
        with matplotlib.rc_context(SETTINGS):
            figure.savefig(path, dpi=2 * POINTS, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
    except (OSError, ValueError) as error:
        raise UserError(f"the plot cannot be written to {path}: {error}; end its name in .png or .svg") from None


def inline_svg(figure: "Figure", name: str, title: str, description: str) -> str:
    """Return a figure as an SVG element for a page with the variables of ``theme``.

    Parameters
    ----------
    figure : Figure
        It keeps its light colours; the element's follow the page.
    name : str
        An identifier, unique on the page.
    title, description : str
        For people who hear the page.
    """
    body = _drawn(figure).partition("</defs>")[2]
    body = re.sub(r'id="(?!glyph)', f'id="{name}-', body)
    body = re.sub(r'xlink:href="#|url\(#', lambda found: found[0].removeprefix("xlink:") + f"{name}-", body)
    width, height = figure.get_size_inches() * POINTS
    words = f'<title id="{name}-t">{escape(title)}</title>\n<desc id="{name}-d">{escape(description)}</desc>'
    labels = f'role="img" aria-labelledby="{name}-t {name}-d"'
    return f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" {labels}>\n{words}{body}'


def standalone_svg(figure: "Figure", name: str, title: str, description: str) -> str:
    """Return a figure as the text of an SVG file that is light or dark as its reader's desktop; as ``inline_svg``."""
    opening, closed, rest = inline_svg(figure, name, title, description).partition(">")
    own = 'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" style="background: var(--panel)"'
    return f"{opening} {own}{closed}\n<style>\n{theme()}\n</style>{rest}"


def theme() -> str:
    """Return the style sheet that gives charts their colours, on light and on dark pages."""
    light, dark = (" ".join(f"--{name}: {both[place]};" for name, both in COLOURS.items()) for place in range(2))
    return (
        f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
        ".chart { stroke-linejoin: round; font-variant-numeric: tabular-nums; }"
    )


def _drawn(figure: "Figure") -> str:
    """Return a figure as SVG without metadata and fonts, its colours as variables."""
    import matplotlib

    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context(SETTINGS):
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    drawn = re.sub(r" font-family: [^;\"]*;?|font-family: [^;\"]*; ", "", file.getvalue())
    for name, (light, _) in COLOURS.items():
        drawn = drawn.replace(light, f"var(--{name})")
    return drawn
