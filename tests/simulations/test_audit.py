"""The audit of runs: what it prints, writes and returns, and that its rehearsal is the real round loop."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from fedkd.errors import UserError
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.events import total
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.privacy.mechanisms.distributed import Distributed
from fedkd.runs.config import Config, load
from fedkd.runs.dry_simulation import DrySimulation
from fedkd.runs.federation import federation, mechanisms
from fedkd.runs.folder import RunFolder
from simulations import audit
from simulations.audit import answer_lines, examine, table
from simulations.audit_results import Line, record_lines, released
from simulations.run import simulate

SMALL = (
    "data.synthetic.users=60",
    "data.synthetic.items=80",
    "data.synthetic.mean-history=15",
    "algorithm.rank=8",
    "runtime.threads=1",
    "runtime.wait-seconds=0",
)
CENTRAL = ("privacy.mode=central", "privacy.epsilon=4", "privacy.delta=1e-5")
QUICK = ("--canaries", "2000", "--shadows", "1")


def invoke(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(audit.main)
    return CliRunner().invoke(app, arguments)


def conf(folder: Path, *settings: str) -> list[str]:
    """An empty file and what it is overridden with."""
    (folder / "conf.toml").touch()
    return [str(folder / "conf.toml"), *(part for one in (*SMALL, *settings) for part in ("--set", one))]


def run_folder(path: Path, *more: str) -> RunFolder:
    return RunFolder.create(path, settings(path, *more))


def settings(path: Path, *more: str) -> Config:
    return load(None, [*SMALL, *more, f"runtime.run-folder={json.dumps(str(path))}"])


def named(lines: list[Line]) -> dict[str, Line]:
    return {line.attack: line for line in lines}


def test_a_correct_run_passes_and_is_written_down(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", *CENTRAL)
    result = invoke(str(folder.path), *QUICK)
    assert result.exit_code == 0, result.output
    assert "epsilon by canaries: claimed at most 4, measured at least" in result.output
    assert "unit user, delta 1e-05, add-remove, no amplification by sampling, confidence 0.99975" in result.output
    known = "members known at 1 % false alarms by loss: claimed at most 0.08054, measured at least"
    assert known in result.output
    assert "verdict: nothing that was measured exceeds what is claimed" in result.output
    assert "under the masks of a secure sum" in result.output
    told = folder.read_json("audit.json")
    attacks = {attack["attack"]: attack for attack in told["attacks"]}
    assert 1 < attacks["epsilon by canaries"]["measured"] <= 4
    assert not any(attack["exceeded"] for attack in told["attacks"])


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
def test_half_the_noise_is_told_by_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    for kind in (Mechanism, Distributed):
        planned = kind.__dict__["multiplier"].func
        monkeypatch.setattr(kind, "multiplier", property(lambda self, planned=planned: planned(self) / 2))
    result = invoke(*conf(tmp_path, *CENTRAL[1:], f"privacy.mode={mode}"), "--canaries", "2000", "--shadows", "0")
    assert result.exit_code == 1, result.output
    assert "verdict: more leaks than is claimed, by epsilon by canaries" in result.output


@pytest.mark.parametrize(("factor", "exit_code"), [(1.0, 0), (0.9, 1)])
def test_a_run_that_wrote_down_too_little_noise_is_accused(tmp_path: Path, factor: float, exit_code: int) -> None:
    folder = run_folder(tmp_path / "run", *CENTRAL)
    planned = folder.config().privacy.planned(1, 1).multiplier
    folder.write_json("summary.json", {"models": {}, "privacy": {"noise-multiplier": planned * factor}})
    assert invoke(str(folder.path), "--canaries", "500", "--shadows", "0").exit_code == exit_code


def test_without_protection_one_answer_is_the_history_and_nothing_is_claimed(tmp_path: Path) -> None:
    config = load(None, [*SMALL, "algorithm.references=40", "algorithm.panel=80", "privacy.sums=clear"])
    lines = named(examine(config, 100, 2))
    assert lines["F1 of histories read from one answer"].value == 1.0
    assert lines["AUROC of membership by shadows"].measured > 0.75
    assert all(line.claimed is None for line in lines.values())
    result = invoke(*conf(tmp_path, "privacy.sums=clear"), "--shadows", "0")
    assert result.exit_code == 0
    assert "no epsilon is claimed for answers" in result.output
    assert "verdict: nothing is claimed" in result.output


@pytest.mark.parametrize(
    "more",
    [(), CENTRAL, (*CENTRAL, "privacy.mode=distributed"), (*CENTRAL, "privacy.mode=local", "privacy.sums=clear")],
    ids=["none", "central", "distributed", "local"],
)
def test_masks_or_local_noise_hide_histories_and_groups(more: tuple[str, ...]) -> None:
    config = load(None, [*SMALL, *more, "data.synthetic.users=400"])
    lines = named(answer_lines(config, federation(config)))
    read = lines["F1 of histories read from one answer"]
    assert read.value is not None
    assert read.random is not None
    assert read.value <= read.random + 0.02
    assert lines["attribute told, over naming the most common value"].measured < 0.05


def test_uploads_of_item_ids_are_counted() -> None:
    small = ("dimensions=2", "server-dimensions=2", "local-epochs=1", "server-epochs=1")
    sizes = ("data.synthetic.items=600", "num-server-rounds=20", "algorithm.name=ptf-fedrec")
    given = [one for one in SMALL if "rank" not in one]
    config = load(None, [*given, *sizes, *(f"algorithm.{one}" for one in small)])
    lines = named(examine(config, 100, 1))
    assert not any(line.single for line in lines.values())
    counted = lines["F1 of histories by counting"]
    assert counted.measured > 0.9
    assert counted.random is not None
    assert counted.random < 0.1
    assert {"F1 of histories by intersection", "F1 of histories by top guesses"} < lines.keys()


@pytest.mark.parametrize("more", [(), ("algorithm.name=fedavg", "num-server-rounds=2", "fraction-train=0.5")])
def test_a_rehearsal_of_everyone_is_the_run(tmp_path: Path, more: tuple[str, ...]) -> None:
    given = [one for one in SMALL if not more or "rank" not in one]
    config = load(None, [*given, *more, f"runtime.run-folder={json.dumps(str(tmp_path / 'run'))}"])
    RunFolder.create(tmp_path / "run", config)
    simulate(config)
    together = federation(config)
    *_, (state, _) = DrySimulation(config, together, np.arange(together.partition.num_clients)).rounds()
    folder = RunFolder(tmp_path / "run")
    saved = folder.read_arrays("checkpoint/state.safetensors")
    if (folder.path / "teacher.safetensors").exists():
        saved |= {f"teacher.{name}": array for name, array in folder.read_arrays("teacher.safetensors").items()}
    for name, array in state.arrays.items():
        np.testing.assert_allclose(array.astype(np.float64), saved[name].astype(np.float64), atol=1e-5)


def test_the_table_fits_eighty_columns() -> None:
    lines = [Line("members known at 1 % false alarms by shadows", 0.743512, 1.23456e-5, 0.99975, 0.123456, 0.5)] * 2
    out = io.StringIO()
    Console(file=out, width=80).print(table(lines))
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert "0.744" in out.getvalue()
    assert "1.23e-05" in out.getvalue()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nowhere.toml"], "nowhere.toml does not exist; give a run's folder, or a configuration"),
        (["{run}", "--repeat", "2"], "there is nothing to check"),
        (["{run}", "--set", "seed=1"], "leave --set out"),
        (["{empty}"], "not a run's folder"),
    ],
)
def test_a_users_mistake_ends_with_code_2(tmp_path: Path, given: list[str], said: str) -> None:
    places: dict[str, Any] = {"run": run_folder(tmp_path / "run").path, "empty": tmp_path}
    result = invoke(*(one.format(**places) for one in given))
    assert result.exit_code == 2
    assert said in " ".join(result.output.split()) + " ".join(result.stderr.split())


@pytest.mark.parametrize("privacy", [{}, {"privacy": 3}, {"privacy": {"noise-multiplier": "much"}}])
def test_a_record_that_says_nothing_of_noise_is_refused(tmp_path: Path, privacy: dict[str, Any]) -> None:
    folder = run_folder(tmp_path / "run", *CENTRAL)
    folder.write_json("summary.json", {"models": {}} | privacy)
    with pytest.raises(UserError, match="does not say how much noise"):
        record_lines(folder.config(), folder)


def test_everything_a_run_releases_is_attacked_together() -> None:
    config = load(None, [*SMALL, *CENTRAL, "privacy.panel-share=0.1", "privacy.metrics-share=0.3"])
    together = federation(config)
    planned = mechanisms(config, together.partition.num_clients).answers
    parts = released(config, DrySimulation(config, together, np.arange(together.partition.num_clients)), planned)
    assert [part.portion for part, _, _ in parts] == pytest.approx([0.6, 0.1, 0.3], rel=1e-4)
    spent = epsilon(total([part.cost for part, _, _ in parts]), config.privacy.budget[1])
    assert spent == pytest.approx(config.privacy.budget[0], rel=1e-4)


def test_accusations_are_counted(tmp_path: Path) -> None:
    result = invoke(*conf(tmp_path, *CENTRAL), "--canaries", "300", "--repeat", "2")
    assert result.exit_code == 0, result.output
    assert "0 of 4 comparisons accuse" in result.output
