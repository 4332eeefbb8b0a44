"""The report of a run, the comparison of several, and the curve of quality against epsilon."""

from fedkd.report.comparison import Row, compare, render_comparison
from fedkd.report.curve import Curve, Point, curve, regret, write_curve
from fedkd.report.page import render

__all__ = ["Curve", "Point", "Row", "compare", "curve", "regret", "render", "render_comparison", "write_curve"]
