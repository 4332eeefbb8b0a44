"""Long loops of the library, which whoever runs them may watch: a command shows them, a library call does not."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

Show = Callable[[Iterable[Any], int, str], Iterator[Any]]
"""Yields the pieces of some work while showing how much is done, given their number and what the work is."""

_show: ContextVar[Show | None] = ContextVar("show", default=None)


def watched(work: Iterable[T], total: int, name: str) -> Iterator[T]:
    """Yield the pieces of some work, and let whoever watches see how much is done.

    Parameters
    ----------
    work : iterable
        The pieces, each of which takes about as long as the others.
    total : int
        How many there are at most.
    name : str
        What the work is.
    """
    show = _show.get()
    return iter(work) if show is None else show(work, total, name)


@contextmanager
def shown_by(show: Show) -> Iterator[None]:
    """Let a function show the loops that run inside; threads that are started there show nothing."""
    before = _show.set(show)
    try:
        yield
    finally:
        _show.reset(before)
