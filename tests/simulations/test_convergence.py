"""The course of a distillation: when a student is nearly as good as in the end, and where training would stop."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fedkd.distillation.server_student import LOOK
from fedkd.runs.config import load
from fedkd.runs.folder import RunFolder
from simulations.convergence import Point, main, reached, stopped
from simulations.simulate import simulate
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


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (
            ["partition.public-fraction=0.2", f"algorithm.distillation.steps={LOOK}"],
            0,
            "early stopping by public users",
        ),
        (["partition.public-fraction=0.2"], 2, f"10 steps and 8 public users are too few; at least {LOOK} and 5"),
        (["algorithm.model.family=linear"], 2, "needed"),
    ],
)
def test_the_command_says_when_and_what_stops_it(tmp_path: Path, more: list[str], code: int, said: str) -> None:
    settings = [*QUICK, "evaluation.baselines=[]", *more, f'runtime.run-folder="{tmp_path}"']
    config = load(None, settings)
    RunFolder.create(tmp_path, config)
    simulate(config)
    assert invoke(tmp_path)[0] == code
    assert said in invoke(tmp_path)[1]
