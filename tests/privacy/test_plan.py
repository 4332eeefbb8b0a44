"""Plans of budgets, and the command that prints them."""

import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fedkd.cli import app
from fedkd.errors import UserError
from fedkd.privacy.options import PrivacyOptions
from fedkd.privacy.plan import Plan


def plan(epsilon: float = 4.0, delta: float = 1e-5, mode: str = "central", **more: int) -> Plan:
    options = PrivacyOptions.model_validate({"mode": mode, "epsilon": epsilon, "delta": delta})
    return Plan(options, **{"clients": 943, "releases": 1, "dimensions": 1000, **more})


def test_the_noise_is_that_of_the_run() -> None:
    assert plan().noise == pytest.approx(1.0812, abs=1e-3)
    assert plan(releases=16).noise == pytest.approx(4 * plan().noise)
    assert plan(mode="local").noise == pytest.approx(math.sqrt(943) * plan().noise)


def test_the_signal_is_measured_against_simulated_noise() -> None:
    noise = np.random.default_rng(0).normal(0, plan().noise, (200, 1000))
    assert plan().signal_to_noise == pytest.approx(943 / np.linalg.norm(noise, axis=1).mean(), rel=0.02)


def test_no_attack_on_simulated_releases_is_stronger_than_the_bound() -> None:
    rng, own = np.random.default_rng(1), plan()
    absent, present = rng.normal(0, own.noise, 400_000), rng.normal(1, own.noise, 400_000)
    for rate in (0.01, 0.1):
        found = (present > np.quantile(absent, 1 - rate)).mean()
        assert found == pytest.approx(own.power(rate), abs=0.01)


def test_what_is_cheaper_has_more_signal() -> None:
    own = plan(releases=10)
    assert all(other.signal_to_noise > own.signal_to_noise for _, other in own.cheaper())


def test_the_nearest_feasible_setting_is_feasible() -> None:
    with pytest.raises(UserError, match="nearest feasible epsilon") as caught:
        plan(epsilon=0.01, dimensions=10**6).check()
    named = float(str(caught.value).split("epsilon is ")[1].split(",")[0])
    plan(epsilon=named * 1.05, dimensions=10**6).check()


def test_where_no_epsilon_would_do_none_is_named() -> None:
    with pytest.raises(UserError, match="no epsilon up to 10000 is feasible"):
        plan(clients=1, dimensions=10**12).check()


def test_an_epsilon_beyond_all_numbers_bounds_nothing() -> None:
    assert plan(epsilon=1e6, mode="distributed").power(0.01) == 1


def test_a_delta_that_permits_publishing_someone_is_refused() -> None:
    with pytest.raises(UserError, match="1 / 943"):
        plan(delta=1 / 943).check()


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
def test_the_command_prints_and_draws(tmp_path: Path, mode: str) -> None:
    arguments = ["budget", "--epsilon", "4", "--rounds", "3", "--mode", mode, "--dimensions", "500"]
    result = CliRunner().invoke(app, [*arguments, "--plot", str(tmp_path / "plot.svg")])
    assert result.exit_code == 0, result.output
    assert "noise multiplier" in result.output
    assert (tmp_path / "plot.svg").stat().st_size > 1000


def test_every_release_is_in_what_is_spent() -> None:
    arguments = ["budget", "--epsilon", "4", "--rounds", "7", "--panel-share", "0.05", "--metrics-share", "0.1"]
    shown = CliRunner().invoke(app, arguments).output
    rows = [line.split("│")[1:3] for line in shown.splitlines() if line.startswith("│")]
    spent = {name.strip(): value.strip() for name, value in rows}
    assert float(spent["the items alone"]) < float(spent["1"]) < float(spent["6"]) < float(spent["7"]) < 4
    assert float(spent["and the metrics"]) == 4


@pytest.mark.parametrize(
    "wrong",
    [["--epsilon", "0"], ["--epsilon", "nan"], ["--epsilon", "1", "--delta", "0.5"], ["--epsilon", "1", "--mode", "x"]],
)
def test_impossible_budgets_end_with_code_2(wrong: list[str]) -> None:
    result = CliRunner().invoke(app, ["budget", *wrong])
    assert result.exit_code == 2
    assert "Traceback" not in result.output
