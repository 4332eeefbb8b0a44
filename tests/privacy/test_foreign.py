"""A user's own mechanism protects a run without a change to the package."""

import json
import math
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from clients.policy import ClientPolicy, mode_named
from fedkd.cli.main import app as fedkd_app
from fedkd.errors import UserError
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.ledger import Ledger, data_key
from fedkd.privacy.mechanisms.base import FINEST
from fedkd.privacy.randomness import noise_generator
from fedkd.report import render
from fedkd.report.curve import write_curve
from fedkd.runs.config import dump, flatten, load, unflatten, validate
from fedkd.runs.folder import RunFolder
from simulations import audit
from simulations.run import run
from simulations.sweep import budgeted, sweep
from tests.privacy.foreign import Laplace, discrete_laplace

MODULE = "tests.privacy.foreign"
MODE = f"{MODULE}:Laplace"
SMALL = [
    "data.synthetic.users=60",
    "data.synthetic.items=40",
    "data.synthetic.mean-history=12",
    "algorithm.rank=4",
    "runtime.threads=1",
    "runtime.wait-seconds=0",
    "evaluation.baselines=[]",
]
BUDGET = ["privacy.epsilon=8", "privacy.delta=1e-4"]
OWN = [*SMALL, f"privacy.mode={MODE}", *BUDGET]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    path = tmp_path_factory.mktemp("foreign") / "run"
    more = ["algorithm.name=fedavg", "algorithm.model.width=8", "num-server-rounds=2", "privacy.metrics-share=0.1"]
    config = load(None, [*OWN[:3], *more, *OWN[4:], f"runtime.run-folder={json.dumps(str(path))}"])
    folder = RunFolder.create(path, config)
    run(config, folder)
    return folder


def test_it_is_chosen_by_its_place_and_survives_files() -> None:
    config = load(None, OWN)
    assert config.privacy.mechanism is Laplace
    assert unflatten(flatten(config)) == validate(dump(config)) == config


def test_a_run_spends_what_is_planned_and_tells_so(finished: RunFolder) -> None:
    privacy = finished.read_json("summary.json")["privacy"]
    planned = Laplace(load(None, OWN).privacy, 54, 2, 0.9)
    assert (privacy["mode"], privacy["epsilon"], privacy["epsilon-planned"]) == (MODE, pytest.approx(8.0, rel=1e-3), 8)
    assert privacy["noise-multiplier"] == pytest.approx(planned.multiplier)
    assert privacy["noise-on-the-sum"] == pytest.approx(math.sqrt(2) * planned.multiplier)
    said, *charged = finished.lines("privacy.jsonl")
    assert Laplace.trust in said["statement"]
    assert [line["release"] for line in charged] == ["answers", "answers", "metrics"]
    assert charged[0]["mechanism"] == planned.description
    spent = epsilon(Ledger(finished.path / "privacy.ledger").spent(data_key("synthetic", "-1")), 1e-4)
    assert spent == pytest.approx(8.0, rel=1e-3)
    assert spent <= 8


def test_its_words_are_in_the_report(finished: RunFolder) -> None:
    page = render(finished.path).read_text()
    assert "discrete Laplace noise, scale" in page
    assert Laplace.trust in page
    assert Laplace.way.server in page
    assert "No privacy protection" not in page


def test_the_audit_plays_canaries_against_it(finished: RunFolder) -> None:
    app = typer.Typer()
    app.command()(audit.main)
    result = CliRunner().invoke(app, [str(finished.path), "--canaries", "2000", "--shadows", "0"])
    assert result.exit_code == 0, result.output
    assert "epsilon by canaries: claimed at most 8, measured at least" in result.output
    assert "nothing that was measured exceeds what is claimed" in result.output


def test_the_audit_accuses_it_with_half_the_noise(finished: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(mechanism: Laplace, exact):
        return exact + discrete_laplace(mechanism.multiplier / FINEST / 2, exact.shape, noise_generator())

    app = typer.Typer()
    app.command()(audit.main)
    monkeypatch.setattr(f"{MODULE}.Laplace.server_noise", half)
    result = CliRunner().invoke(app, [str(finished.path), "--canaries", "2000", "--shadows", "0"])
    assert result.exit_code == 1, result.output


def test_the_budget_command_plans_it() -> None:
    arguments = ["budget", "--mode", MODE, "--epsilon", "4", "--delta", "1e-5", "--clients", "500"]
    result = CliRunner().invoke(fedkd_app, arguments)
    assert result.exit_code == 0, result.output
    assert "Laplace noise before anything is taught" in result.output.replace("\n", " ")


def test_a_sweep_takes_it_and_names_it_on_its_page(tmp_path: Path) -> None:
    conf = tmp_path / "conf.toml"
    conf.touch()
    budgets = {epsilon: budgeted(conf, SMALL[:-1], MODE, epsilon, 1e-4) for epsilon in (8.0, math.inf)}
    assert [config.privacy.mode for config in budgets.values()] == [MODE, "none"]
    page = write_curve(sweep(budgets, 1, tmp_path / "sweep"), tmp_path / "sweep").read_text()
    assert Laplace.trust in page


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["privacy.mode=centrl"], r"privacy\.mode: there is no privacy mechanism 'centrl', did you mean central;"),
        (["privacy.votes=noisymax"], r"privacy\.votes: there is no vote mechanism 'noisymax', did you mean noisy-max;"),
        (["privacy.mode=tests.privacy.nowhere:Laplace"], r"privacy\.mode: .*cannot be imported"),
        ([f"privacy.mode={MODULE}:Laplac"], r"privacy\.mode: .*has no class 'Laplac' .*it has .*Laplace"),
        ([f"privacy.mode={MODULE}:Way"], r"privacy\.mode: .*subclass of fedkd\.privacy\.mechanisms\.base\.Mechanism"),
        ([f"privacy.mode={MODULE}:Nameless"], r"privacy\.mode: .*must define name, strength, trust, way"),
        (
            [f"privacy.mode={MODE}", "privacy.epsilom=1"],
            r"privacy\.epsilom: .*did you mean privacy\.epsilon",
        ),
        ([f"privacy.mode={MODE}"], "mode laplace needs a budget"),
    ],
)
def test_what_is_wrong_is_said_in_words(settings: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load(None, settings)


def test_a_device_owner_names_it_as_the_weakest_and_compares_it_by_its_strength() -> None:
    run = load(None, OWN)
    for weakest in ("none", "central", MODE):
        ClientPolicy(weakest_mode=mode_named(weakest), minimum_cohort=2).check(run)
    with pytest.raises(UserError, match="answers in mode local or a stronger one"):
        ClientPolicy(weakest_mode="local", minimum_cohort=2).check(run)
    with pytest.raises(UserError, match=f"answers in mode {MODE} or a stronger one"):
        ClientPolicy(weakest_mode=MODE, minimum_cohort=2).check(load(None, SMALL))
    with pytest.raises(UserError, match="--weakest-mode: there is no privacy mechanism 'locl', did you mean local"):
        mode_named("locl")
