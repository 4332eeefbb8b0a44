"""What is foretold of quality: on made-up data, of the run's own size, in the right order."""

import pytest
import typer
from typer.testing import CliRunner

from fedkd.errors import UserError
from fedkd.runs.config import load
from fedkd.runs.federation import federation
from simulations.forecast import Forecast, forecast, synthetic_config
from simulations.run import main as run_main

SMALL = [
    "data.synthetic.users=260",
    "data.synthetic.items=150",
    "data.synthetic.mean-history=25",
    "data.synthetic.seed=3",
    "algorithm.rank=8",
    "algorithm.references=60",
    "runtime.threads=1",
    "privacy.mode=central",
    "privacy.delta=1e-4",
]


def test_made_up_data_has_the_sizes_of_the_run_and_nothing_else_of_it() -> None:
    config = load(None, [*SMALL, "privacy.epsilon=8", "seed=5"])
    together = federation(config)
    other = federation(synthetic_config(config, together))
    assert other.loaded.interactions.num_items == together.loaded.interactions.num_items
    assert other.partition.num_clients == pytest.approx(together.partition.num_clients, rel=0.02)
    assert len(other.loaded.interactions) == pytest.approx(
        len(together.loaded.interactions), rel=0.5
    )  # 26 users tell the mean
    assert other.loaded.interactions.fingerprint != together.loaded.interactions.fingerprint


def test_more_budget_keeps_more_of_what_clients_add() -> None:
    found = [
        forecast(config := load(None, [*SMALL, f"privacy.epsilon={epsilon}"]), federation(config))
        for epsilon in (0.5, 400.0)
    ]
    assert found[0].alone == found[1].alone < found[1].planned
    assert found[0].kept < 0.5 < found[1].kept <= 1.0


def test_a_share_is_between_nothing_and_all() -> None:
    assert Forecast(0.3, 0.35, 0.4, "").kept == pytest.approx(0.5)
    assert Forecast(0.3, 0.2, 0.4, "").kept == 0.0
    assert Forecast(0.4, 0.5, 0.3, "").kept == 0.0


@pytest.mark.parametrize(("unprotected", "shares"), [(0.4, 1), (0.304, 0), (0.3, 0), (0.2, 0)])
def test_no_share_is_told_of_next_to_nothing(unprotected: float, shares: int) -> None:
    assert Forecast(0.3, 0.302, unprotected, "").line().count("%") == shares


def test_the_command_says_it_in_one_sentence_and_runs_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    conf = tmp_path / "conf.toml"
    conf.write_text('name = "small"\n')
    app = typer.Typer()
    app.command()(run_main)
    sets = [part for one in [*SMALL, "privacy.epsilon=8"] for part in ("--set", one)]
    result = CliRunner().invoke(app, [str(conf), *sets, "--dry-run", "--forecast"])
    assert result.exit_code == 0, result.output
    assert "of what the clients' data adds is left" in " ".join(result.output.split())
    assert "mode central, epsilon 8, delta 0.0001, one user, add-remove, no amplification" in " ".join(
        result.output.split()
    )
    assert "bytes:" in result.output
    assert "noise on a round's sum: 0." in result.output
    assert not (tmp_path / "runs").exists()


def test_the_noise_of_students_is_foretold_and_no_sum_is_said_to_be_noised(tmp_path) -> None:
    (tmp_path / "conf.toml").touch()
    options = [
        *("data.synthetic.users=40", "data.synthetic.items=40", "data.synthetic.mean-history=9", "runtime.threads=1"),
        "algorithm.name=fedavg",
        "algorithm.model.width=4",
        "algorithm.central.epochs=2",
        "algorithm.pretraining.epochs=2",
        "privacy.student.steps=5",
        "algorithm.local.optimiser=sgd",
        "privacy.student.epsilon=8",
        "privacy.student.delta=1e-4",
    ]
    app = typer.Typer()
    app.command()(run_main)
    sets = [part for one in options for part in ("--set", one)]
    result = CliRunner().invoke(app, [str(tmp_path / "conf.toml"), *sets, "--dry-run", "--forecast"])
    assert result.exit_code == 0, result.output
    told = "students under DP-SGD, epsilon 8, delta 0.0001, one interaction, replace-one, secret Poisson sampling"
    assert told in " ".join(result.output.split())
    assert "times the clip" not in result.output


def test_without_noise_there_is_nothing_to_foretell() -> None:
    config = load(None, SMALL[:-2])
    with pytest.raises(UserError, match=r"privacy\.mode"):
        forecast(config, federation(config))
