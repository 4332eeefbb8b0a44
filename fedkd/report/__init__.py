"""The report of a run, the comparison of several, and the curve of quality against epsilon."""

from fedkd.report.comparison import ComparisonRow, compare, render_comparison, settings
from fedkd.report.curve import Curve, Point, curve, regret, write_curve
from fedkd.report.page import render

__all__ = [
    "ComparisonRow",
    "Curve",
    "Point",
    "compare",
    "curve",
    "regret",
    "render",
    "render_comparison",
    "settings",
    "write_curve",
]
