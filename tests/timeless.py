"""Results without what a clock measured, for comparisons of runs."""

from collections.abc import Mapping
from typing import Any

CLOCKED = ("training-seconds", "latency-ms")


def timeless(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's row of the summary without times."""
    return {name: value for name, value in row.items() if name not in CLOCKED}
