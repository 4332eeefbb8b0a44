"""The report of a run, the comparison of several, and the curve of quality against epsilon."""

from fedkd.report.comparison import ComparisonRow, compare, promises, render_comparison
from fedkd.report.curve import Curve, Point, curve, regret, write_curve
from fedkd.report.page import render

__all__ = [
    "ComparisonRow",
    "Curve",
    "Point",
    "compare",
    "curve",
    "promises",
    "regret",
    "render",
    "render_comparison",
    "write_curve",
]
