"""Progress of long work, with the time left: a bar at a terminal, elsewhere a line now and then."""

import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fedkd.cli.terminal import terminal

T = TypeVar("T")

QUIET_SECONDS = 30.0
"""Fewest seconds between two lines where there is no terminal; shorter work says nothing."""

_SHOWING = threading.Lock()
"""Held while some work is shown."""


def tracked(work: Iterable[T], total: int, name: str, console: Console | None = None) -> Iterator[T]:
    """Yield what ``work`` yields, and show how much of it is done.

    Parameters
    ----------
    work : iterable
        The pieces of the work; each counts as done when the next is asked for.
    total : int
        How many pieces there are.
    name : str
        What is being done.
    console : Console, optional
        Where to show it; standard error by default, so that results can be piped.

    Notes
    -----
    One work is shown at a time: what is done for a piece of it shows nothing of its own.
    """
    if not _SHOWING.acquire(blocking=False):
        yield from work
        return
    try:
        console = console or terminal(errors=True)
        yield from _bar(work, total, name, console) if console.is_terminal else _lines(work, total, name, console)
    finally:
        _SHOWING.release()


def _bar(work: Iterable[T], total: int, name: str, console: Console) -> Iterator[T]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        yield from shown.track(work, total, description=name)


def _lines(work: Iterable[T], total: int, name: str, console: Console) -> Iterator[T]:
    begun = said = time.monotonic()
    for done, piece in enumerate(work):
        now = time.monotonic()
        if done and now - said >= QUIET_SECONDS:
            said, left = now, (now - begun) * (total - done) / done
            console.print(f"{name}: {done} of {total}, about {left:,.0f} s left", soft_wrap=True)
        yield piece
