"""The course of a distillation: when a student is nearly as good as in the end, and where training would stop."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fedkd.runs.config import load
from fedkd.runs.folder import RunFolder
from simulations.convergence import Point, main, reached, stopped
from simulations.simulate import simulate
from tests.deployment.runs import finished_run
from tests.simulations.test_server_students import QUICK

POINTS = [
    Point(50 * (n + 1), float(n), public, private)
    for n, (public, private) in enumerate([(0.1, 0.2), (0.3, 0.38), (0.2, 0.398), (0.2, 0.39), (0.4, 0.4)])
]


@pytest.mark.parametrize(("share", "steps"), [(0.5, 50), (0.95, 100), (0.99, 150), (1.0, 250)])
def test_a_share_is_reached_at_the_first_look_that_has_it(share: float, steps: int) -> None:
    assert reached(POINTS, share).steps == steps


@pytest.mark.parametrize(("patience", "kept", "end"), [(1, 100, 150), (2, 100, 200), (3, 250, 250)])
def test_training_stops_when_public_users_gain_no_more(patience: int, kept: int, end: int) -> None:
    assert [point.steps for point in stopped(POINTS, patience)] == [kept, end]


def invoke(folder: Path) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(folder), "--patience", "1"])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_says_when_and_what_stops_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    more = ["partition.public-fraction=0.2", "evaluation.baselines=[]", "algorithm.distillation.steps=2"]
    config = load(None, [*QUICK, *more, f'runtime.run-folder="{tmp_path}"'])
    RunFolder.create(tmp_path, config)
    simulate(config)
    code, text = invoke(tmp_path)
    assert code == 0
    assert "share of the quality in the end ndcg@20 steps seconds 90%" in text
    monkeypatch.setattr("fedkd.distillation.server_student.FEWEST", 99)
    code, text = invoke(tmp_path)
    assert code == 2
    assert "8 public users are too few to hold one out" in text


def test_a_closed_form_has_no_course(tmp_path: Path) -> None:
    code, text = invoke(finished_run(tmp_path / "run"))
    assert code == 2
    assert "make a run with --set algorithm.name=residual --set algorithm.model.family=cnn" in text
