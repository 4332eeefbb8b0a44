"""The threads of the libraries that multiply matrices."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


def limited_threads(threads: int) -> AbstractContextManager[Any]:
    """Let NumPy, SciPy and OpenMP compute with so many threads within a block.

    The libraries are looked for once, which takes long: those that are loaded after the first block are not limited.
    """
    limited: AbstractContextManager[Any] = _libraries().limit(limits=threads)
    return limited


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
