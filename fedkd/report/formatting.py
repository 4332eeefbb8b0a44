"""Numbers as people read them: the same in pages, pictures and at the terminal."""

import math
from collections.abc import Mapping
from typing import Any

from fedkd.report.run import Interval


def percent(share: float) -> str:
    """Return a share as per cent with one decimal."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def count_text(value: Any) -> str:
    """Return a whole number with thousands separated, anything else as it is."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def bytes_text(count: float) -> str:
    """Return a number of bytes in the largest unit that leaves at least 1: ``75.2 kB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size * 0.9995:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"


def half_width(value: Interval, digits: int = 3) -> str:
    """Return half the width of an interval as ``±``, or nothing where there is no interval."""
    half = (value.high - value.low) / 2
    return f"±{half:.{digits}f}" if half > 0 else ""


def interval_text(value: Interval, digits: int = 4) -> str:
    """Return a mean and half the width of its interval: ``0.4471 ±0.0120``."""
    return f"{value.mean:.{digits}f} {half_width(value, digits)}".rstrip()


def difference_text(value: Interval, digits: int = 4) -> str:
    """Return a difference with its sign: ``−0.0032 ±0.0010``; empty for that of a thing to itself."""
    if value == (0, 0, 0):
        return ""
    return f"{value.mean:+.{digits}f} {half_width(value, digits)}".rstrip().replace("-", "\N{MINUS SIGN}")


def share_text(value: Interval) -> str:
    """Return a share with half its interval, in per cent: ``98.2 % ±0.4``."""
    return f"{percent(value.mean)} {half_width_percent(value)}".rstrip()


def half_width_percent(value: Interval) -> str:
    """Return half the width of a share's interval in hundredths: ``±0.4``."""
    return half_width(Interval(*(100 * end for end in value)), 1)


def epsilon_text(epsilon: float) -> str:
    """Return an epsilon, or that there is no noise."""
    return f"{epsilon:g}" if math.isfinite(epsilon) else "no noise"


def conditions(privacy: Mapping[str, Any]) -> str:
    """Return unit, adjacency and sampling of an epsilon: ``one user, add-remove, no amplification``."""
    sampling = privacy.get("sampling", "no amplification")
    sampled = sampling if sampling == "no amplification" else f"{sampling} sampling"
    return f"one {privacy.get('unit', 'client')}, {privacy.get('adjacency', 'add-remove')}, {sampled}"


def heading(text: str) -> str:
    """Return what heads a column: the title of a metric, or other words as they are."""
    return metric_title(text) if "@" in text else text


def metric_title(metric: str) -> str:
    """Return the name of a metric for people: ``NDCG@20``, ``Recall@20``."""
    name, _, depth = metric.partition("@")
    return f"{name.capitalize() if name == 'recall' else name.upper()}@{depth}"
