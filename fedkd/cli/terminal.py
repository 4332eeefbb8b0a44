"""The common part of all command lines, in which a user's mistake ends with its message and exit code 2."""

import functools
import textwrap
from collections.abc import Callable, Sequence
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


def application(**settings: Any) -> typer.Typer:
    """Return an empty command line, whose help and tracebacks show text as it is written, and no variables."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, **settings)


def command_line(commands: typer.Typer | Callable[..., None]) -> click.Command:
    """Return commands, or a single one, with ``--version`` besides its own options."""
    if not isinstance(commands, typer.Typer):
        single, commands = commands, application()
        commands.command()(single)
    whole = get_command(commands)
    click.version_option(package_name="fedkd", prog_name="fedkd", message="%(prog)s %(version)s")(whole)
    return whole


def start(commands: typer.Typer | Callable[..., None]) -> None:
    """Run a command line with the words that its process was given."""
    command_line(commands)()


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Print a ``UserError``, or the name of an unusable file, without a traceback and exit with code 2."""

    @functools.wraps(command)
    def _run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except UserError as error:
            _end(str(error))
        except OSError as error:
            if error.filename is None:  # no file of the user's
                raise
            name = textwrap.shorten(str(error.filename), 200)
            _end(f"cannot use {name} ({error.strerror}); name another, or see to its folder, its rights and the disk")

    return _run


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


def _end(message: str) -> NoReturn:
    terminal(errors=True).print(Text.assemble(("error:", "bold red"), f" {message}"), soft_wrap=True)
    raise typer.Exit(2) from None
