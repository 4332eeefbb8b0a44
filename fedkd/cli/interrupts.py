"""Ctrl-C while a program is still loading its modules."""

import sys
from types import TracebackType


def end_in_words() -> None:
    """Let Ctrl-C end a program that ``python -m`` is loading with a line and code 130, as it ends a command later."""
    if sys.argv[:1] == ["-m"]:  # Python's own mark, until the program's first line runs
        sys.excepthook = _hook


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    from fedkd.cli.terminal import AGAIN, leave

    print(f"stopped before anything was done; {AGAIN}", file=sys.stderr)
    leave()
