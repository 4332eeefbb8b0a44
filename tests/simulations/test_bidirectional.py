"""A run with a neural teacher: foretold, played, killed and gone on with, in silos that keep models of their own."""

import json
from pathlib import Path

import pytest

from fedkd.protocols.rounds import Round
from fedkd.runs.config import Config, load
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from server.run_writer import RunWriter
from simulations.dry_run import forecast_cost
from simulations.run import run
from simulations.simulate import simulate
from tests.golden.cases import PROTOCOLS

ROWS = ("public-teacher", "public-student", "centralised", "centralised-teacher")
SETTINGS = [
    *PROTOCOLS["bidirectional"],
    "algorithm.own.family=autoencoder",
    "algorithm.own.width=5",
    "data.synthetic.users=40",
    "data.synthetic.items=40",
    "data.synthetic.mean-history=12",
    "partition.clients=silos",
    "partition.num-silos=3",
    "num-server-rounds=2",
    "runtime.threads=1",
]


def config(folder: Path, *more: str) -> Config:
    place = f"runtime.run-folder={json.dumps(str(folder))}"
    return load(None, ["algorithm.name=bidirectional", *SETTINGS, "evaluation.baselines=[]", place, *more])


def test_a_run_has_the_rows_that_its_models_are_judged_by_and_costs_what_was_foretold(tmp_path: Path) -> None:
    settings = config(tmp_path, f"evaluation.baselines={','.join(ROWS)}")
    foretold = forecast_cost(settings, federation(settings))
    assert foretold.seconds["teaching"] > 0
    assert foretold.seconds["centralised-teacher"] > 0
    found = run(settings, RunFolder.create(tmp_path, settings))
    assert found["models"].keys() == {"teacher", "student", *ROWS}
    assert found["models"]["teacher"]["parameters"] == found["models"]["centralised-teacher"]["parameters"]
    assert foretold.up == found["traffic"]["up-bytes-per-client-round"]
    assert foretold.down == pytest.approx(found["traffic"]["down-bytes-per-client-round"], rel=0.02)


class KilledError(Exception):
    """Stands for the end of a process."""


def test_a_killed_run_goes_on_to_the_same_teacher_and_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, killed = config(tmp_path / "whole"), config(tmp_path / "killed")
    for settings in (whole, killed):
        RunFolder.create(settings.runtime.run_folder or tmp_path, settings)
    simulate(whole)
    save = RunWriter.round

    def saved_and_killed(self: RunWriter, *given: Round) -> None:
        save(self, *given)  # type: ignore[arg-type]
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "round", saved_and_killed)
        with pytest.raises(KilledError):
            simulate(killed)
    simulate(killed)
    for name in ("teacher", "student"):
        first, second = ((tmp_path / run / f"{name}.safetensors").read_bytes() for run in ("whole", "killed"))
        assert first == second


def test_the_centralised_teacher_is_there_for_protocols_with_one_alone() -> None:
    with pytest.raises(ValueError, match="algorithm residual has no neural teacher"):
        load(None, ["evaluation.baselines=centralised-teacher"])
