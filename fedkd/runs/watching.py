"""The rounds of a run, which whoever started it in this process may watch."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from fedkd.evaluation.evaluator import PerUser

Watch = Callable[[Mapping[str, Any], PerUser | None], None]
"""Is called with the record of a round, as ``rounds.jsonl`` holds it, and the student's quality by user where devices
told it; an error that it raises ends the run."""

_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


def tell(record: Mapping[str, Any], quality: PerUser | None) -> None:
    """Let whoever watches see a round."""
    if (watch := _watch.get()) is not None:
        watch(record, quality)


@contextmanager
def watched_by(watch: Watch | None) -> Iterator[None]:
    """Let a function watch the rounds that are played inside."""
    before = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(before)
