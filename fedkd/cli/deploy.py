"""``fedkd export``, ``fedkd recommend`` and ``fedkd serve``: a finished run's student made useful."""

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedkd.cli.terminal import going_on, plain_table, say, show, terminal
from fedkd.errors import UserError

if TYPE_CHECKING:
    from fedkd.deployment.deployed import Listed
    from fedkd.deployment.export import Exported
    from fedkd.deployment.titles import Titles
    from fedkd.serving.options import ServiceOptions

OFFERED = 5
"""Titles that are offered where none is the one that was typed."""


def print_export(done: "Exported") -> None:
    """Say what was written, and what the export changed."""
    from fedkd.report.formatting import bytes_text, percent

    size, found = done.size, done.parity
    say(f"{size.parameters:,} parameters: {bytes_text(size.before)} as trained, {bytes_text(size.after)} exported")
    whose = "of the run's users" if found.real else "made at random"
    say(
        f"{found.histories} histories {whose}: the exported program's scores differ from torch's by "
        f"{found.program:.2g} at most, and compression changed them by {found.compression:.2g}, "
        f"of up to {found.largest_score:.3g}"
    )
    if found.agreement is not None:
        say(f"lists of ten agree in {percent(found.agreement)} of their items")
    if found.lost is not None:
        say(f"NDCG@20 lost: {percent(found.lost)}")
    if found.without:
        say(f"lists were not compared: {found.without}", style="yellow")
    say(f"exported: {done.path}", whole=True)


def histories_of(text: str | None, file: Path | None) -> list[list[str]]:
    """Return the histories that were given: one on the command line, or one a line of a CSV file.

    Raises
    ------
    UserError
        Not exactly one of the two was given, or the file cannot be read.
    """
    if (text is None) == (file is None):
        raise UserError('give a history, such as --history "Heat,Alien", or --file FILE with one in every line')
    return [_parts([text])[0]] if text is not None else _parts(_lines(file))


def _lines(file: Path | None) -> list[str]:
    assert file is not None
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except ValueError:
        raise UserError(f"{file} is not a text in UTF-8; save it as one") from None
    if not lines:
        raise UserError(f"{file} is empty; write a history in every line, its titles or ids divided by commas")
    return lines


def _parts(lines: Sequence[str]) -> list[list[str]]:
    """Return the parts of lines in CSV; a title with a comma stands in quotation marks."""
    try:
        rows = [next(csv.reader([line], skipinitialspace=True, strict=True), []) for line in lines]
    except csv.Error as error:
        raise UserError(
            f'a history is not CSV ({error}); divide titles by commas and put one with a comma into "..."'
        ) from None
    return [[part.strip() for part in row if part.strip()] for row in rows]


def item(text: str, titles: "Titles") -> int:
    """Return the item that was meant; a person at a terminal is asked where it is not clear.

    Raises
    ------
    UserError
        It is not clear, and nobody can be asked.
    """
    found = titles.exact(text)
    if found is not None:
        return found
    near = titles.search(text, OFFERED)
    if near and sys.stdin.isatty() and sys.stdout.isatty():
        return _chosen(text, near, titles)
    offered = "; ".join(f"{titles.shown[one]} (id {titles.ids[one]})" for one in near)
    hint = f"did you mean {offered}" if near else "no title is like it"
    raise UserError(f"no item has the id or the title {text!r} alone: {hint}; give an id or a whole title")


def _chosen(text: str, near: Sequence[int], titles: "Titles") -> int:
    say(f"which one is {text}?")
    for number, one in enumerate(near, 1):
        say(f"  {number} {titles.shown[one]}")
    number = int(click.prompt("number", type=click.IntRange(1, len(near)), default=1))
    return near[number - 1]


def print_lists(lists: Sequence["Listed"], titles: "Titles") -> None:
    """Print lists of recommended items, one table a history."""
    for number, found in enumerate(lists, 1):
        if len(lists) > 1:
            say(f"history {number}")
        print_list((titles.ids[one], titles.shown[one], rank, score) for rank, (one, score) in enumerate(found, 1))


def print_list(rows: Iterable[tuple[str, str, int, float]]) -> None:
    """Print one list as a table: id, title, rank, score."""
    table = plain_table("item", "title", numbers=["rank", "score"])
    for name, title, rank, score in rows:
        table.add_row(str(name), str(title), str(rank), f"{score:.3f}")
    show(table)


def run_service(options: "ServiceOptions", host: str, port: int, workers: int | None) -> None:
    """Serve until Ctrl-C."""
    from fedkd.deployment.deployed import Deployed
    from fedkd.deployment.optional import optional

    for package in ("fastapi", "uvicorn", "prometheus_client"):
        optional(package, "fedkd serve")
    from fedkd.serving.run import fit_workers, listening, serve

    Deployed.open(options.folder)  # a mistake is told here, not by every worker
    with listening(host, port) as opened:
        address, real = opened.getsockname()[:2]
        place = f"[{address}]" if ":" in address else address
        say(f"serving {options.folder} at http://{place}:{real}; Ctrl-C ends it", whole=True)
        terminal().file.flush()
        with going_on(lambda: "the same command serves again"):
            serve(options, [opened], workers or fit_workers())
