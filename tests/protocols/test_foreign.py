"""A user's own protocol works in a simulation without a change to the package."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from fedkd.errors import UserError
from fedkd.messages.types import Estimates
from fedkd.protocols.base import State
from fedkd.runs.config import dump, flatten, load, unflatten, validate
from fedkd.testing.protocols import check_protocol
from simulations.run import main
from tests.protocols.foreign import MeanScores
from tests.timeless import timeless

MODULE = "tests.protocols.foreign"
SETTINGS = [
    "data.synthetic.users=40",
    "data.synthetic.items=30",
    "data.synthetic.mean-history=9",
    f"algorithm.name={MODULE}:MeanScores",
    "algorithm.clip=3",
    "num-server-rounds=2",
    "runtime.threads=1",
    "runtime.wait-seconds=0",
    "evaluation.baselines=[]",
]
PROTECTED = ["privacy.mode=central", "privacy.epsilon=8", "privacy.delta=1e-4"]


def simulated(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, arguments)


def started(folder: Path, *more: str) -> Result:
    conf = folder.parent / "conf.toml"
    conf.touch()
    given = [part for one in (*SETTINGS, *more) for part in ("--set", one)]
    return simulated(str(conf), *given, "--out", str(folder))


def finished(folder: Path, *more: str) -> dict[str, Any]:
    result = started(folder, *more)
    assert result.exit_code == 0, result.output
    return dict(json.loads((folder / "summary.json").read_text()))


def test_it_conforms() -> None:
    check_protocol(MeanScores())


def test_it_is_chosen_by_its_place_and_survives_files() -> None:
    config = load(None, SETTINGS)
    assert config.algorithm == MeanScores(clip=3)
    assert unflatten(flatten(config)) == validate(dump(config)) == config


@pytest.mark.parametrize("more", [[], PROTECTED], ids=["open", "protected"])
def test_it_runs_from_data_to_report(tmp_path: Path, more: list[str]) -> None:
    summary = finished(tmp_path / "run", *more)
    assert summary["algorithm"] == f"{MODULE}:MeanScores"
    assert summary["clients"]["failed-answers"] == 0
    assert 0 < summary["models"]["student"]["ndcg@20"]["mean"] <= 1
    assert f"{MODULE}:MeanScores" in (tmp_path / "run" / "report.html").read_text()


def test_it_is_resumed_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = finished(tmp_path / "whole")
    pool = MeanScores.pool

    def interrupted(protocol: MeanScores, state: State, estimates: Estimates) -> State:
        if state.arrays["weight"] > 1:
            raise KeyboardInterrupt
        return pool(protocol, state, estimates)

    with monkeypatch.context() as patched:
        patched.setattr(MeanScores, "pool", interrupted)
        started(tmp_path / "parts")
    assert not (tmp_path / "parts" / "summary.json").exists()
    assert f'name = "{MODULE}:MeanScores"' in (tmp_path / "parts" / "config.toml").read_text()
    again = simulated("--resume", str(tmp_path / "parts"))
    assert again.exit_code == 0, again.output
    assert timeless(json.loads((tmp_path / "parts" / "summary.json").read_text())["models"]["student"]) == timeless(
        whole["models"]["student"]
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["algorithm.name=tests.protocols.nowhere:MeanScores"], "algorithm.name: .*cannot be imported"),
        ([f"algorithm.name={MODULE}:MeanScore"], "algorithm.name: .*has no class 'MeanScore'.*it has .*MeanScores"),
        ([f"algorithm.name={MODULE}:Popularity"], r"must be a complete subclass of fedkd\.protocols\.base\.Protocol"),
        ([f"algorithm.name={MODULE}:Unfinished"], "ask, begin, centralised, .*must be defined"),
        (["algorithm.name=mean-scores"], "algorithm.name: there is no algorithm 'mean-scores'"),
        ([f"algorithm.name={MODULE}:MeanScores", "algorithm.clp=2"], r"algorithm\.clp.*did you mean algorithm\.clip\?"),
        ([f"algorithm.name={MODULE}:MeanScores", "algorithm.clip=-2"], r"algorithm\.clip: .*greater than 0, got -2"),
        ([f"algorithm.name={MODULE}:MeanScores", "algorithm.rank=2"], "belongs to another algorithm"),
    ],
)
def test_what_is_wrong_is_said_in_words(settings: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load(None, settings)
