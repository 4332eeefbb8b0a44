"""The common part of all command lines: how they begin, and how they end after a mistake, a fault or Ctrl-C."""

import functools
import os
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, ParamSpec

import click
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from typer.main import get_command

from fedkd.errors import UserError

P = ParamSpec("P")


INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of the signal, as shells have it."""

FRAMES = 8
"""Places of a fault that are shown, the innermost last."""

DEVELOPMENT = sys.flags.dev_mode
"""Whether the whole traceback of a fault is shown, message included."""

AGAIN = "the same command begins again"


def application(**settings: Any) -> typer.Typer:
    """Return an empty command line: help shows brackets as written, and no traceback shows variables.

    Variables may hold private data.
    """
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, **settings)


def command_line(program: typer.Typer | Callable[..., None]) -> click.Command:
    """Return a program, or a function as its only command, with ``--version`` besides its own options."""
    app = program
    if not isinstance(app, typer.Typer):
        app = application()
        app.command()(program)
    whole = get_command(app)
    click.version_option(package_name="fedkd", prog_name="fedkd", message="%(prog)s %(version)s")(whole)
    return whole


def start(program: typer.Typer | Callable[..., None]) -> None:
    """Run a command line, or a function as the only command of one; after Ctrl-C wait for no thread."""
    try:
        command_line(program)()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            leave()
        raise


def leave() -> NoReturn:
    """End the process after Ctrl-C, at once, with what it has printed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


@contextmanager
def going_on(how: Callable[[], str]) -> Iterator[None]:
    """Let Ctrl-C say how to go on, in words that are chosen then; an outer place does not replace an inner one's."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(*(stop.args or (how(),))) from None


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command end in words.

    A ``UserError``, or the name of an unusable file, is printed without a traceback: exit code 2. After Ctrl-C one line
    says how to go on: 130. Of any other exception its kind and place are printed: 1. Its message may hold private data
    and is left out; Python's development mode (``python -X dev``) shows the whole traceback.
    """

    @functools.wraps(command)
    def _run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (UserError, OSError, MemoryError) as error:
            _end(explained(error) or _fault(error), 2 if explained(error) else 1)
        except KeyboardInterrupt as stop:
            terminal(errors=True).print(f"stopped; {stop.args[0] if stop.args else AGAIN}", soft_wrap=True)
            raise typer.Exit(INTERRUPTED) from None
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except Exception as error:
            _end(_fault(error), 1)

    return _run


def explained(error: Exception) -> str:
    """Return what an error that a user can mend says; empty for other errors."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return "the memory is full; take a machine with more, or smaller data"
    if isinstance(error, OSError) and error.filename is not None:
        name = textwrap.shorten(str(error.filename), 200)
        return f"cannot use {name} ({error.strerror}); name another, or see to its folder, its rights and the disk"
    return ""


PICTURES = (".svg", ".png")


def check_picture(path: Path) -> None:
    """Refuse a file of ``--plot`` that cannot become a picture, before any work is done for it."""
    if path.is_dir():
        raise UserError(f"--plot {path} is a folder; give a file in it, for example {path / 'plot.svg'}")
    if not path.stem.strip(". ") or path.name.lower() in PICTURES:
        raise UserError(f"--plot {path} has no name before its ending; for example {path.with_name('plot.svg')}")
    if path.suffix.lower() not in PICTURES:
        raise UserError(
            f"--plot {path} does not end in {' or '.join(PICTURES)}; for example {path.with_suffix('.svg')}"
        )
    if not path.absolute().parent.is_dir():
        raise UserError(f"--plot {path}: the folder {path.absolute().parent} does not exist; make it first")


def plain_table(*texts: str, numbers: Sequence[str] = ()) -> Table:
    """Return a table without lines: columns of texts, which break where there is no room, and then of numbers."""
    shown = Table(box=None, pad_edge=False)
    for name in texts:
        shown.add_column(name, overflow="fold")
    for name in numbers:
        shown.add_column(name, justify="right", no_wrap=True)
    return shown


def terminal(errors: bool = False) -> Console:
    """Return the terminal, to which brackets and colons are text like any other."""
    return Console(stderr=errors, markup=False, emoji=False, highlight=False)


def say(text: str = "", style: str = "", whole: bool = False) -> None:
    """Print a sentence in lines as wide as the terminal; ``whole`` keeps one to copy (a path, a command) in one."""
    console = terminal()
    lines = text.splitlines() if whole else [part for line in text.splitlines() for part in _wrapped(line, console)]
    for line in lines or [""]:
        console.print(line, style=style, soft_wrap=True)


def _wrapped(line: str, console: Console) -> list[str]:
    return textwrap.wrap(line, console.width, break_long_words=False, break_on_hyphens=False) or [""]


def show(table: Table) -> None:
    """Print a table; columns of numbers are never cut, and the last ones that have no room are left out and named."""
    out, left = terminal(), list[str]()
    while table.columns[-1].no_wrap and len(table.columns) > 2 and _least_width(table) > out.width:
        left.insert(0, str(table.columns.pop().header))
    out.print(table)
    if left:
        say(f"no room for {', '.join(left)}; a wider terminal shows more")


def _least_width(table: Table) -> int:
    """Return the width of a table whose numbers, and the longest words of its texts, are whole."""
    return sum(map(_least, table.columns)) + 2 * (len(table.columns) - 1)


def _least(column: Column) -> int:
    cells = [str(cell) for cell in (column.header, *column.cells)]
    return max(cell_len(part) for cell in cells for part in ([cell] if column.no_wrap else cell.split() or [""]))


def _fault(error: Exception) -> str:
    """Return the kind of an unforeseen error and where it arose; in development mode it is raised again instead."""
    if DEVELOPMENT:
        raise error
    places = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    lines = [f"  {'/'.join(Path(place.filename).parts[-3:])}:{place.lineno} in {place.name}" for place in places]
    return "\n".join([f"a fault of the program, {type(error).__name__}; python -X dev shows its message:", *lines])


def _end(message: str, code: int) -> NoReturn:
    terminal(errors=True).print(Text.assemble(("error:", "bold red"), f" {message}"), soft_wrap=True)
    raise typer.Exit(code) from None
