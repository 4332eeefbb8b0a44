"""The table of ``fedkd compare``, as wide as the terminal allows."""

from collections.abc import Sequence

from rich.table import Table

from fedkd.cli.terminal import plain_table, say, show
from fedkd.evaluation.rows import title
from fedkd.report.comparison import ComparisonRow, base, settings
from fedkd.report.distillation import DistillationTable
from fedkd.report.formatting import difference_text, interval_text, share_text
from fedkd.report.page import METRIC
from fedkd.report.rivals import Rival

SHOWN = ("recall@20", "hr@10")
NUMBERS = (METRIC, "difference", "of EASE", "parameters", *SHOWN, "bytes up", "bytes down")
"""The columns of numbers, the most important first."""


def print_comparison(rows: Sequence[ComparisonRow]) -> None:
    """Print what was compared, and as many columns of numbers as fit into the terminal beside whole names."""
    for name, setting in settings(rows).items():
        say(f"{name}: {setting}")
    show(_table(rows))
    say("± is half a 95 % interval: over seeds where there are several, else over users")
    if named := base(rows):
        say(f"difference: {METRIC} less that of {named}, paired over the seeds or users that both have")


def print_distillation(found: DistillationTable) -> None:
    """Print the student beside its teacher and beside itself without one, and whether distillation pays."""
    shown = plain_table("", numbers=found.models)
    for text, cells in found.lines.items():
        shown.add_row(text, *cells)
    show(shown)
    if found.verdict is not None:
        for sentence in found.verdict.sentences:
            say(sentence, style="" if found.verdict.pays else "bold yellow")
    for note in found.notes:
        say(note)


def print_rivals(found: Sequence[Rival]) -> None:
    """Print what teacher and student have more than their rivals, and their share of these."""
    shown = plain_table("model", "beside", numbers=("difference", "share"))
    for row in found:
        difference = "" if row.difference is None else difference_text(row.difference)
        share = "" if row.share is None else share_text(row.share)
        shown.add_row(title(row.model), title(row.rival), difference, share)
    show(shown)
    say(f"difference and share of {METRIC}; differences are paired over seeds, or over users where there is one seed")


def _table(rows: Sequence[ComparisonRow]) -> Table:
    several, cells = len(settings(rows)) > 1, [_numbers(row) for row in rows]
    shown = plain_table("model", *["configuration"] * several, numbers=[n for n in NUMBERS if any(c[n] for c in cells)])
    for column in shown.columns:
        column.no_wrap = True
    for row, found in zip(rows, cells, strict=True):
        names = [title(row.model), *[row.configuration] * several]
        shown.add_row(*names, *(found[str(column.header)] for column in shown.columns[len(names) :]))
    return shown


def _numbers(row: ComparisonRow) -> dict[str, str]:
    """Return the numbers of a row as they are shown, by column; empty where there is none."""
    measured = {name: row.metrics.get(name) for name in (METRIC, *SHOWN)}
    cells = {name: interval_text(value) if value else "" for name, value in measured.items()}
    cells["difference"] = difference_text(row.difference) if row.difference else ""
    cells["of EASE"] = share_text(row.of_ease) if row.of_ease else ""
    counts = {"parameters": row.parameters, "bytes up": row.bytes_up, "bytes down": row.bytes_down}
    return cells | {name: "" if count is None else f"{count:,.0f}" for name, count in counts.items()}
