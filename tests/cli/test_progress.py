"""Progress is a bar at a terminal, a line now and then elsewhere, and never in the way of the work."""

import io
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from rich.console import Console

from fedkd.cli import progress
from fedkd.cli.progress import tracked
from fedkd.data.catalogue import Catalogue
from fedkd.distillation.closed_forms import Gram, ease_teacher
from fedkd.models.linear import LinearConfig
from fedkd.models.watching import shown_by, watched
from fedkd.protocols.local_only import LocalOnly
from fedkd.ragged import Ragged
from fedkd.testing import protocols
from fedkd.training.hard_labels import CentralTraining, train_centrally


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


def test_work_inside_shown_work_is_done_and_not_shown() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    done = [list(tracked("ab", 2, "inner", console)) for _ in tracked(range(3), 3, "outer", console)]
    assert done == [["a", "b"]] * 3
    assert "inner" not in out.getvalue()
    assert list(tracked("a", 1, "later", console)) == ["a"]
    assert "later" in out.getvalue()


def test_loops_of_the_library_are_shown_to_whoever_asked() -> None:
    seen = list[tuple[int, str]]()

    def show(work: Iterable[int], total: int, name: str) -> Iterator[int]:
        seen.append((total, name))
        yield from work

    with shown_by(show):
        assert list(watched(range(3), 3, "steps")) == [0, 1, 2]
    assert list(watched(range(2), 2, "unseen")) == [0, 1]
    assert seen == [(3, "steps")]


def test_training_teaching_and_conformance_can_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[str]()

    def show(work: Iterable[int], total: int, name: str) -> Iterator[int]:
        for done, piece in enumerate(work, 1):
            assert done <= total
            seen.append(name)
            yield piece

    for check in [name for name in vars(protocols) if name.startswith("check_") and name != "check_protocol"]:
        monkeypatch.setattr(protocols, check, lambda *_, **__: None)
    histories = Ragged.from_rows([[0, 1], [1, 2], [2, 3]] * 10, np.int32)
    model = LinearConfig(width=2).build(Catalogue.numbered(4), 0)
    with shown_by(show):
        train_centrally(model, histories, CentralTraining(epochs=3, batch_size=30), np.random.default_rng(0))
        ease_teacher(Gram(np.eye(4)), 1.0, dense=False)
        protocols.check_protocol(LocalOnly())
    assert seen[:3] == ["training"] * 3
    assert seen[3:5] == ["the teacher's matrix", "the teacher's factor"]
    assert seen[5:] == ["conformance of local-only"] * 9
