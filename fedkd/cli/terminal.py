"""The common part of all command lines, in which a user's mistake ends with its message and exit code 2."""

import functools
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, ParamSpec

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedkd.errors import UserError

P = ParamSpec("P")


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


def plain_table(*columns: str) -> Table:
    """Return a table without lines, whose columns break words that have no room."""
    shown = Table(box=None, pad_edge=False)
    for name in columns:
        shown.add_column(name, overflow="fold")
    return shown


def _end(message: str) -> NoReturn:
    Console(stderr=True, highlight=False).print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    raise typer.Exit(2) from None
