"""The report of a run, and the comparison of several."""

from fedkd.report.page import render

__all__ = ["render"]
