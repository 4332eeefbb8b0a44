"""The report of a run, and the comparison of several."""

from fedkd.report.comparison import Row, compare, render_comparison
from fedkd.report.page import render

__all__ = ["Row", "compare", "render", "render_comparison"]
