"""The command that says what steps before the lists would change."""

from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fedkd.ragged import Ragged
from simulations.lists import first_items, main
from tests.deployment.runs import finished_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("runs") / "run")


def invoke(*arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [*map(str, arguments)])
    return result.exit_code, result.output


def test_the_oldest_items_are_shown() -> None:
    histories = Ragged.from_rows([[3, 1, 2], [], [5]], np.int32)
    assert [first_items(histories, 2)[row].tolist() for row in range(3)] == [[3, 1], [], [5]]


def test_every_step_has_a_row_for_every_length(run: Path) -> None:
    code, text = invoke(run, "--try", "diverse:weight=0.3", "--try", "cold-users; diverse", "--shown", 1, "--shown", 0)
    assert code == 0, text
    assert text.index("the first 1 items") < text.index("whole histories")
    assert text.count("diversity@10") == text.count("coverage@10") == 2
    for steps in ("before", "diverse:weight=0.3", "cold-users; diverse"):
        assert sum(line.startswith(f"{steps} ") for line in text.splitlines()) == 2 * 5


def test_a_step_that_there_is_not_is_refused(run: Path) -> None:
    code, text = invoke(run, "--try", "divers")
    assert code == 2
    assert "did you mean diverse" in " ".join(text.split())
