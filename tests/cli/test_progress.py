"""Progress is a bar at a terminal, a line now and then elsewhere, and never in the way of the work."""

import io

import pytest
from rich.console import Console

from fedkd.cli import progress
from fedkd.cli.progress import tracked


def shown(terminal: bool, pieces: int = 4) -> tuple[list[int], str]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    return list(tracked(range(pieces), pieces, "neighbours", console)), out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_the_work_is_passed_on_as_it_is(terminal: bool) -> None:
    assert shown(terminal)[0] == [0, 1, 2, 3]
    assert shown(terminal, 0)[0] == []


def test_a_terminal_sees_a_bar_with_the_time_left() -> None:
    text = shown(terminal=True)[1]
    assert "neighbours" in text
    assert "4/4" in text
    assert ":" in text


def test_elsewhere_short_work_says_nothing() -> None:
    assert shown(terminal=False)[1] == ""


def test_elsewhere_long_work_says_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    lines = shown(terminal=False, pieces=5)[1].splitlines()
    assert lines == ["neighbours: 1 of 5, about 160 s left", "neighbours: 3 of 5, about 53 s left"]
