"""Whole runs under protection, in every mode and protocol, through the real server and clients."""

import json
import math
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fedkd.config import load
from fedkd.errors import UserError
from fedkd.runs import RunFolder
from simulations.run import main as run_main
from simulations.run import simulate
from simulations.sweep import main as sweep_main
from simulations.sweep import sweep

QUICKSTART = Path(__file__).resolve().parents[2] / "simulations" / "conf" / "quickstart.toml"
SMALL = [
    "data.synthetic.users=80",
    "data.synthetic.items=60",
    "data.synthetic.mean-history=15",
    "runtime.threads=1",
    "runtime.wait-seconds=0",
    "evaluation.baselines=[]",
]
BUDGET = ["privacy.epsilon=8", "privacy.delta=1e-4"]


def simulated(folder: Path, *more: str) -> RunFolder:
    config = load(None, [*SMALL, *more, f"runtime.run-folder={json.dumps(str(folder))}"])
    created = RunFolder.create(folder, config)
    simulate(config)
    return created


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
@pytest.mark.parametrize("protocol", ["residual", "federated-ease", "iterated", "fedmd", "fedavg"])
def test_every_mode_protects_every_protocol_that_sums(tmp_path: Path, mode: str, protocol: str) -> None:
    once = protocol in ("residual", "federated-ease")
    more = ["algorithm.rank=8"] if once else ["num-server-rounds=2"]
    folder = simulated(tmp_path / "run", f"algorithm.name={protocol}", *more, f"privacy.mode={mode}", *BUDGET)
    summary = folder.read_json("summary.json")
    assert summary["clients"]["failed-answers"] == 0
    assert 0 < summary["models"]["student"]["ndcg@20"]["mean"] <= 1
    privacy = summary["privacy"]
    assert (privacy["mode"], privacy["epsilon"], privacy["delta"]) == (mode, 8.0, 1e-4)
    assert privacy["releases-per-client"] == (1 if once else 2)
    assert summary["traffic"]["evaluation-up-bytes-per-client"] == 0


def test_epsilon_grows_with_the_rounds_up_to_the_total(tmp_path: Path) -> None:
    folder = simulated(
        tmp_path / "run", "algorithm.name=fedavg", "num-server-rounds=3", "privacy.mode=central", *BUDGET
    )
    charged = folder.lines("privacy.jsonl")[1:]
    assert [line["round"] for line in charged] == [1, 2, 3]
    assert charged[-1]["epsilon-so-far"] == 8.0
    spent = [json.loads(line)["epsilon"] for line in (folder.path / "rounds.jsonl").read_text().splitlines()]
    assert 0 < spent[0] < spent[1] < spent[2] == 8.0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["algorithm.name=ptf-fedrec", "privacy.mode=central", *BUDGET], "item ids"),
        (["privacy.mode=central", "privacy.epsilon=1"], "privacy.delta"),
        (["privacy.epsilon=1", "privacy.delta=1e-5"], "privacy.mode=central"),
        (["privacy.mode=local", "partition.clients=silos", *BUDGET], "privacy.unit=client"),
    ],
)
def test_what_cannot_be_protected_is_refused_when_the_configuration_is_read(settings: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        load(None, settings)


def test_an_impossible_delta_leaves_no_folder_behind(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(run_main)
    settings = [*SMALL, "privacy.mode=central", "privacy.epsilon=1", "privacy.delta=0.5"]
    pairs = [part for setting in settings for part in ("--set", setting)]
    result = CliRunner().invoke(app, [str(QUICKSTART), *pairs, "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_a_sweep_gives_a_curve_and_continues_where_it_was(tmp_path: Path) -> None:
    conf = tmp_path / "conf.toml"
    conf.write_text("")
    settings = [*SMALL[:5], "algorithm.rank=8", 'evaluation.baselines=["public-teacher"]']
    points = sweep(conf, settings, [8.0, math.inf], 2, "central", tmp_path / "out")
    assert {(point.epsilon, point.model) for point in points} >= {(8.0, "student"), (math.inf, "student")}
    assert sweep(conf, settings, [8.0, math.inf], 2, "central", tmp_path / "out") == points


def test_a_wrong_epsilon_ends_with_code_2() -> None:
    app = typer.Typer()
    app.command()(sweep_main)
    result = CliRunner().invoke(app, ["--epsilons", "1,x"])
    assert result.exit_code == 2
