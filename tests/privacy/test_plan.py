"""Plans of budgets, and the command that prints them."""

import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fedkd.cli.main import app
from fedkd.errors import UserError
from fedkd.privacy.options import PrivacyOptions
from fedkd.privacy.plan import Plan


def budget(*more: str) -> Result:
    """Run the command at the width of a plain terminal."""
    return CliRunner(env={"COLUMNS": "80", "TERM": "dumb"}).invoke(app, ["budget", *more])


def shown(*more: str) -> str:
    """Return what the command prints about epsilon 4, or another that is given later, its lines joined."""
    result = budget("--epsilon", "4", *more)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def refused(*more: str) -> str:
    result = budget("--epsilon", "4", *more)
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr


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


@pytest.mark.parametrize("epsilon", [0.5, 4.0, 12.0])
def test_a_bound_for_other_noise_lies_between_the_exact_number_and_what_the_budget_permits(epsilon: float) -> None:
    own, exact = plan(epsilon, mode="distributed"), plan(epsilon)
    for rate in (0.01, 0.1):
        permitted = min(1.0, math.exp(epsilon) * rate + 1e-5, 1 - math.exp(-epsilon) * (1 - 1e-5 - rate))
        assert exact.power(rate) < own.power(rate) < permitted
    assert (own.exact, exact.exact) == (False, True)


def test_a_bound_holds_for_simulated_skellam_noise() -> None:
    rng, own = np.random.default_rng(2), plan(epsilon=8.0, mode="distributed")
    variance = (own.mechanism.multiplier * 256) ** 2
    noise = [rng.poisson(variance / 2, 400_000) - rng.poisson(variance / 2, 400_000) for _ in range(2)]
    for rate in (0.01, 0.1):
        assert (noise[1] + 256 > np.quantile(noise[0], 1 - rate)).mean() < own.power(rate)


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
@pytest.mark.parametrize("epsilon", [710.0, 1e9, 1e308])
def test_a_budget_that_protects_nobody_says_so(mode: str, epsilon: float) -> None:
    assert plan(epsilon, mode=mode).power(0.01) == 1.0
    told = shown("--epsilon", f"{epsilon!r}", "--mode", mode, "--dimensions", "500")
    assert "promises practically nothing" in told
    assert "promises practically nothing" not in shown("--mode", mode, "--dimensions", "500")


def test_what_is_cheaper_has_more_signal() -> None:
    own = plan(releases=10)
    assert all(other.signal_to_noise > own.signal_to_noise for _, other in own.cheaper())


def test_the_nearest_feasible_setting_is_feasible() -> None:
    with pytest.raises(UserError, match="nearest feasible epsilon") as caught:
        plan(epsilon=0.01, dimensions=10**6).check()
    named = float(str(caught.value).split("epsilon is ")[1].split(",")[0])
    plan(epsilon=named * 1.05, dimensions=10**6).check()


def test_no_epsilon_is_named_that_would_protect_nobody() -> None:
    with pytest.raises(UserError, match="no epsilon that still promises anything") as caught:
        plan(clients=10, dimensions=10**18).check()
    fewer = int(str(caught.value).split("release ")[1].split()[0])
    plan(clients=10, dimensions=fewer).check()


def test_the_largest_delta_that_is_named_is_the_largest_that_is_taken() -> None:
    with pytest.raises(UserError, match="must be below") as caught:
        plan(delta=0.5, clients=1000).check()
    largest = float(str(caught.value).split("below ")[1].split(",")[0])
    plan(delta=largest * 0.999, clients=1000).check()


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
    output = CliRunner().invoke(app, arguments).output
    rows = [line.rsplit(maxsplit=1) for line in output.partition("after contribution")[2].splitlines() if line]
    spent = dict(rows[1:10])
    assert float(spent["the items alone"]) < float(spent["1"]) < float(spent["6"]) < float(spent["7"]) < 4
    assert float(spent["and the metrics"]) == 4


def test_what_is_hidden_is_named_by_the_adjacency() -> None:
    assert "recognises who took part" in shown()
    told = shown("--adjacency", "replace-one")
    assert "tells one history from another" in told
    assert "took part" not in told


def test_exact_numbers_and_bounds_are_told_apart() -> None:
    assert "8.1% exact" in shown()
    told = shown("--mode", "distributed", "--dimensions", "500")
    assert "% exact" not in told
    assert "do not set one against the other" in told


def test_fewer_honest_clients_take_more_noise_and_the_quorum_is_told() -> None:
    options = ("--mode", "distributed", "--dimensions", "500", "--clients", "1000")
    assert "fewer than 900 of 1000 clients" in shown(*options)
    told = shown(*options, "--honest-fraction", "0.5")
    assert "fewer than 500 of 1000 clients" in told
    assert "leave it out" in refused("--honest-fraction", "0.5")


def test_everything_fits_eighty_columns() -> None:
    lines = budget("--epsilon", "4", "--mode", "distributed", "--adjacency", "replace-one", "--rounds", "3").output
    assert max(map(len, lines.splitlines())) <= 80
    assert "\nepsilon spent, at delta 1e-05\n" in lines


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is a folder"),
        ("p", "for example"),
        ("p.jpg", "does not end in .svg or .png"),
        ("no/p.svg", "make it first"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_refused_before_anything_is_printed(
    tmp_path: Path, name: str, said: str
) -> None:
    assert said in refused("--plot", str(tmp_path / name))
    assert not list(tmp_path.iterdir())


def test_options_that_do_not_go_together_are_explained() -> None:
    told = refused("--panel-share", "0.6", "--metrics-share", "0.5")
    assert told.startswith("error: panel-share 0.6 and metrics-share 0.5 leave 0%")
    assert "{" not in told


@pytest.mark.parametrize(
    "wrong",
    [["--epsilon", "0"], ["--epsilon", "nan"], ["--epsilon", "1", "--delta", "0.5"], ["--epsilon", "1", "--mode", "x"]],
)
def test_impossible_budgets_end_with_code_2(wrong: list[str]) -> None:
    result = CliRunner().invoke(app, ["budget", *wrong])
    assert result.exit_code == 2
    assert "Traceback" not in result.output
