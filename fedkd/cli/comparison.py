"""The table of ``fedkd compare``, as wide as the terminal allows."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from fedkd.cli.terminal import plain_table
from fedkd.report.comparison import ComparisonRow
from fedkd.report.formatting import interval_text

SHOWN = ("ndcg@20", "recall@20", "hr@10")
NUMBERS = (*SHOWN, "parameters", "bytes up", "bytes down")
"""The columns of numbers, the most important first."""


def print_comparison(console: Console, rows: Sequence[ComparisonRow]) -> None:
    """Print as many columns of numbers as fit into the terminal beside whole names, and name those left out."""
    columns, boundless = list(NUMBERS), console.options.update(max_width=10_000)
    while (
        len(columns) > 1
        and console.measure(_comparison_table(rows, columns), options=boundless).maximum > console.width
    ):
        columns.pop()
    console.print(_comparison_table(rows, columns))
    console.print("± is half a 95 % interval: over seeds where there are several, else over users")
    if left := NUMBERS[len(columns) :]:
        console.print(f"no room for {', '.join(left)}; a wider terminal shows them, and --out writes them")


def _comparison_table(rows: Sequence[ComparisonRow], columns: Sequence[str]) -> Table:
    shown = plain_table("configuration", "model", "seeds")
    for name in columns:
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        cells = _numbers(row)
        shown.add_row(row.configuration, row.model, str(len(row.seeds)), *(cells[name] for name in columns))
    return shown


def _numbers(row: ComparisonRow) -> dict[str, str]:
    """Return the numbers of a row as they are shown, by column; empty where there is none."""
    measured = {name: row.metrics.get(name) for name in SHOWN}
    cells = {n: "" if m is None else interval_text(m) for n, m in measured.items()}
    counts = {"parameters": row.parameters, "bytes up": row.bytes_up, "bytes down": row.bytes_down}
    return cells | {name: "" if count is None else f"{count:,.0f}" for name, count in counts.items()}
