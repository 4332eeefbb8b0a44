"""The summary of a finished run as the terminal shows it."""

from pathlib import Path
from typing import Any

from rich.table import Table

from fedkd.cli.comparison import print_distillation
from fedkd.cli.terminal import plain_table, say, show
from fedkd.evaluation.metrics import METRICS
from fedkd.evaluation.rows import AT_TERMINAL, OURS
from fedkd.lists.changes import change_text
from fedkd.report import distillation_table
from fedkd.report.formatting import interval_text
from fedkd.report.run import Interval, Run
from fedkd.runs.config import Config

SHOWN = ("ndcg@20", "recall@20", "hr@10")
"""The metrics of the table at the terminal."""


def print_summary(summary: dict[str, Any], config: Config, folder: Path) -> None:
    """Print the results of a run in a folder."""
    say(f"{summary['name']}: private users, {summary['split']['target']} part")
    show(table(summary))
    if (served := distillation_table([Run.read(folder)])) is not None:
        say("\nteacher, student, and the same student without a teacher:")
        print_distillation(served)
        say()
    spent = summary["traffic"]
    say(
        f"bytes per client over the whole run: {spent['total-up-bytes-per-client']:,.0f} up, "
        f"{spent['total-down-bytes-per-client']:,.0f} down"
    )
    for line in [*remarks(summary["privacy"]), *split_remarks(config, folder)]:
        say(line, style="yellow")
    for line in (*list_lines(summary, config), *gate_lines(summary)):
        say(line)


def print_reasons(summary: dict[str, Any]) -> None:
    """Print what is to be known of rows that are not quite what their name says, and why others are not there."""
    for name, note in summary["notes"].items():
        say(f"{name} {note}", style="yellow")
    for name, reason in summary["left-out"].items():
        say(f"{name} is left out: {reason}", style="yellow")
    for name, reason in summary["failed"].items():
        say(f"{name} has no number: {reason}", style="bold red")


def table(summary: dict[str, Any]) -> Table:
    """Return the results as a table for the terminal."""
    shown = plain_table("model", numbers=(*SHOWN, "parameters"))
    measured = [(row.name, summary["models"].get(row.name, {})) for row in AT_TERMINAL]
    for name, row in measured:
        if METRICS[0] in row:
            size = f"{row['parameters']:,}" if "parameters" in row else ""
            cells = [interval_text(Interval(**row[metric])) for metric in SHOWN]
            shown.add_row(name, *cells, size, style="bold" if name in OURS else "")
    return shown


def list_lines(summary: dict[str, Any], config: Config) -> list[str]:
    """Return what the steps of ``lists.steps`` change in the student's lists."""
    rows = summary.get("lists", {})
    head = [f"the student's lists after {', '.join(config.lists.steps)}, paired over users:"] if rows else []
    told = (f"  {name} {row['before']:.4f} -> {row['after']:.4f}, {change_text(row)}" for name, row in rows.items())
    return [*head, *told]


def gate_lines(summary: dict[str, Any]) -> list[str]:
    """Return the gate's decision and that on every requirement."""
    gate = summary.get("gate")
    if gate is None:
        return []
    smaller = f", made smaller by {gate['compression']}" if gate.get("compression") else ""
    head = f"gate: {gate['decision']} (validation part, confidence {gate['confidence']:g}{smaller})"
    return [head, *(f"  {check['sentence']}" for check in gate["checks"])]


def remarks(privacy: dict[str, Any]) -> list[str]:
    """Return the warnings that belong to a protected run's table."""
    if privacy["epsilon"] is None:
        return []
    out = ["The table is what the simulation measures on private users: outside epsilon, as no real server could."]
    if not privacy["epsilon"]:
        out.append("Nothing was released: the budget was spent before, and the models are those of public users alone.")
    return out


def split_remarks(config: Config, folder: Path) -> list[str]:
    """Return what the table of a split does not show."""
    if config.split.kind != "cold-items":
        return []
    told = "Only items that nobody has had are expected, among all others; to rank them among themselves:"
    return [f"{told} python -m simulations.cold_items {folder}"]
