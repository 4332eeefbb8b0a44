"""The centralised comparison on a small synthetic data set."""

import io

import click.testing
import pytest
import typer
from rich.console import Console
from torch import Tensor
from typer.testing import CliRunner

from fedkd.cli.terminal import command_line, plain_table
from fedkd.data.catalogue import Catalogue
from fedkd.data.options import SplitOptions
from fedkd.data.sources.synthetic import Synthetic, SyntheticOptions
from fedkd.data.splits import split
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import ModelConfig, Recommender
from fedkd.models.ease import fit_ease
from fedkd.models.linear import LinearConfig
from fedkd.training.options import StepTraining
from simulations import distillation

TEACHERS = {"ease": None, "autoencoder": AutoencoderConfig(width=24)}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "STEPS", 100)
    monkeypatch.setattr(distillation, "LEARNING_RATES", (0.02,))
    monkeypatch.setattr(distillation, "TEACHER_SCALES", (20.0,))
    monkeypatch.setattr(distillation, "VISIBLE", (0.5,))
    monkeypatch.setattr(distillation, "PRETRAINING", StepTraining(steps=100, visible=0.5))


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("teacher", TEACHERS)
def test_a_comparison_ends_in_a_table_with_a_student_above_popularity(teacher: str) -> None:
    loaded = Synthetic(synthetic=SyntheticOptions(users=80, items=60, mean_history=20)).load()
    data = split(loaded, SplitOptions(), 0)
    said: list[str] = []
    pair = distillation.Pair(TEACHERS[teacher], LinearConfig(width=8), feature_weight=0.0 if teacher == "ease" else 0.1)
    rows = {row.name: row for row in distillation.compare(pair, data, 2, said.append)}
    assert rows["student distilled"].quality["mean"] > rows["popularity"].quality["mean"]
    assert rows["student distilled"].parameters == 2 * data.test.train.num_items * 8
    assert ("teacher" in rows) == (teacher != "ease")
    assert len(said) == 3
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(distillation.table(list(rows.values())))
    text = console.export_text()
    assert "+0.0%" in text
    assert f"{rows['ease'].quality['mean']:.4f}" in text


def squares(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the sum of squares; a feature loss of a user's own."""
    return (student - teacher).square().sum((-1, -2))


@pytest.mark.usefixtures("short")
def test_a_feature_loss_of_ones_own_is_named_at_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    app, pairs = typer.Typer(), list[distillation.Pair]()
    app.command()(distillation.main)
    monkeypatch.setattr(distillation, "compare", lambda pair, *_: pairs.append(pair) or [])
    monkeypatch.setattr(distillation, "table", lambda rows: plain_table("nothing"))
    own = f"{__name__}:squares"
    arguments = ["--source", "synthetic", "--split", "ratio", "--teacher", "cnn", "--feature-weight", "1"]
    result = CliRunner().invoke(app, [*arguments, "--feature-loss", own])
    assert result.exit_code == 0, result.output
    assert pairs[0].feature_loss == own
    wrong = CliRunner().invoke(app, [*arguments, "--feature-loss", f"{__name__}:cubes"])
    assert wrong.exit_code == 2
    assert "has no function 'cubes' for a feature loss" in wrong.output


@pytest.mark.usefixtures("short")
def test_a_feature_loss_of_ones_own_teaches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "STEPS", 20)
    loaded = Synthetic(synthetic=SyntheticOptions(users=40, items=30, mean_history=9)).load()
    fold = split(loaded, SplitOptions(), 0).validation
    teacher = AutoencoderConfig(width=12).build(fold.train.catalogue, 1)
    pair = distillation.Pair(AutoencoderConfig(width=12), LinearConfig(width=8), 1.0, f"{__name__}:squares")
    options = distillation.choose_distillation(pair, teacher, fold)
    assert (options.feature_loss, options.weights.feature) == (f"{__name__}:squares", 1.0)


def test_the_ridge_is_the_best_on_validation() -> None:
    loaded = Synthetic(synthetic=SyntheticOptions(users=60, items=40, mean_history=15)).load()
    fold = split(loaded, SplitOptions(), 0).validation
    qualities = {ridge: distillation.quality(fit_ease(fold.train, ridge), fold) for ridge in distillation.RIDGES}
    assert qualities[distillation.best_ridge(fold)] == max(qualities.values())


def test_the_best_steps_come_from_the_curve() -> None:
    loaded = Synthetic(synthetic=SyntheticOptions(users=60, items=40, mean_history=15)).load()
    fold = split(loaded, SplitOptions(), 0).validation
    student = LinearConfig(width=4).build(fold.train.catalogue, 0)
    trainer = distillation.undistilled(StepTraining(steps=120))
    best, steps = distillation.best_steps(lambda watch: trainer(student, fold, 0, watch), fold)
    assert steps in (50, 100, 120)
    assert distillation.quality(student, fold) == best


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--student", "transformer"], "there is no model 'transformer'"),
        (["--teacher", "transformer"], "allowed are linear, autoencoder, cnn"),
        (["--student", f"{__name__}:Narrow"], "width: no such key"),
        (["--split", "half"], "--split cannot be used"),
        (["--source", "none"], "there is no data source 'none'"),
        (["--width", "0"], "--width"),
        (["--seeds", "0"], "--seeds"),
        (["--feature-weight", "-1"], "--feature-weight"),
    ],
)
def test_what_cannot_be_distilled_is_said_before_any_work(arguments: list[str], words: str) -> None:
    result = click.testing.CliRunner().invoke(command_line(distillation.main), ["--source", "synthetic", *arguments])
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


class Narrow(ModelConfig):
    """A family without a width."""

    def untrained(self, catalogue: Catalogue) -> Recommender:
        raise NotImplementedError
