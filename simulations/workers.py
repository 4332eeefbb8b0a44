"""Processes that do the same work side by side, and end with the one that started them."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any


@contextmanager
def helpers(count: int, target: Callable[..., None], *arguments: Any) -> Iterator[list[BaseProcess]]:
    """Run a function in other processes; what they still do in the end is cut short.

    Parameters
    ----------
    count : int
        Number of processes.
    target : callable
        The function, which can be pickled; it should begin with `end_with_parent`.
    arguments
        Its arguments.
    """
    start = multiprocessing.get_context("spawn").Process
    others: list[BaseProcess] = [start(target=target, args=arguments) for _ in range(count)]
    for process in others:
        process.start()
    try:
        yield others
    finally:
        for process in others:
            process.terminate()
            process.join()


def end_with_parent() -> None:
    """End this process when the one that started it is gone, even by a kill that it could not catch.

    Without this it would go on alone, beside whoever begins the same work again.
    """
    threading.Thread(target=_await_parent, daemon=True).start()


def _await_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
