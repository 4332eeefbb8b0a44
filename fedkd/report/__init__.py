"""The report of a run, the comparison of several, and the curve of quality against epsilon."""

from fedkd.report.comparison import ComparisonRow, compare, grouped, render_comparison, settings
from fedkd.report.curve import Curve, Point, curve, regret, write_curve
from fedkd.report.distillation import distillation_table
from fedkd.report.key_curve import KeyCurve, key_curve, write_key_curve
from fedkd.report.page import render
from fedkd.report.rivals import rivals
from fedkd.report.tuning import TrialRow, Tuning, write_tuning

__all__ = [
    "ComparisonRow",
    "Curve",
    "KeyCurve",
    "Point",
    "TrialRow",
    "Tuning",
    "compare",
    "curve",
    "distillation_table",
    "grouped",
    "key_curve",
    "regret",
    "render",
    "render_comparison",
    "rivals",
    "settings",
    "write_curve",
    "write_key_curve",
    "write_tuning",
]
