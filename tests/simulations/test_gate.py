"""The gate of a run, from its requirements to the summary, the terminal and the report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedkd.cli.main import app
from fedkd.errors import UserError
from fedkd.evaluation.evaluator import PerUser
from fedkd.report import render
from fedkd.runs.folder import RunFolder
from simulations.run import run
from simulations.terminal_summary import gate_lines
from tests.simulations.test_run import config

REQUIREMENTS = (
    'gate.requirements=["ndcg@20 >= 0.2 of teacher","bytes <= 1","epsilon <= 8","mid recall not below teacher"]'
)
CHEAP = 'evaluation.baselines=["popularity"]'


def run_into(folder: Path, *more: str) -> dict[str, Any]:
    return run(config(folder, REQUIREMENTS, CHEAP, *more), RunFolder(folder))


def test_a_run_on_the_test_part_is_judged_by_a_run_of_its_own_on_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = run_into(tmp_path / "run")
    alone = run_into(tmp_path / "alone", "evaluation.target=validation")
    assert summary["gate"] == alone["gate"]
    assert summary["split"]["target"] == "test"
    assert summary["gate"]["part"] == "validation"
    inner = RunFolder(tmp_path / "run" / "validation")
    assert inner.config().evaluation.target == "validation"
    assert inner.config().evaluation.baselines == ()
    assert not (inner.path / "student.safetensors").exists()  # nothing is kept twice
    decisions = {check["requirement"]: check["decision"] for check in summary["gate"]["checks"]}
    assert decisions["ndcg@20 >= 0.2 of teacher"] == "met"
    assert decisions["bytes <= 1"] == decisions["epsilon <= 8"] == summary["gate"]["decision"] == "not-met"
    assert gate_lines(summary)[0] == "gate: not-met (validation part, confidence 0.95)"
    played: list[str] = []
    monkeypatch.setattr("simulations.run.simulate", lambda config, watch: played.append(config.evaluation.target))
    assert run_into(tmp_path / "run")["gate"] == summary["gate"]
    assert not played
    page = render(tmp_path / "run").read_text()
    assert "Gate: not met" in page
    assert "mid recall not below teacher" in page


def test_a_student_that_is_too_large_is_made_smaller_judged_and_exported_so(tmp_path: Path) -> None:
    wanted = 'gate.requirements=["ndcg@20 >= 0.2 of teacher","bytes <= 9600","latency-p95-ms <= 1000"]'
    steps = 'gate.compression=["low-rank:rank=500","half","int8","pruned:kept=0.1 + int4"]'
    settings = config(tmp_path / "run", wanted, steps, CHEAP, "algorithm.rank=32", "evaluation.target=validation")
    gate = run(settings, RunFolder(tmp_path / "run"))["gate"]
    assert gate["decision"] == "met"
    assert gate["compression"] == "int8"
    tried = {one["compression"]: one["decision"] for one in gate["tried"]}
    assert tried.pop("") == "not-met"  # 2 bytes for each of 80 x 32 x 2 numbers
    assert set(tried) == {"int8", "pruned:kept=0.1 + int4"}  # half is too large with its program
    page = render(tmp_path / "run").read_text()
    assert "What was tried to make it smaller" in page
    done = CliRunner().invoke(app, ["export", str(tmp_path / "run"), "--out", str(tmp_path / "model")])
    assert done.exit_code == 0, done.output
    assert "made smaller as it met the gate: int8" in done.output
    bytes_check = next(check for check in gate["checks"] if check["requirement"].startswith("bytes"))
    assert (tmp_path / "model" / "model.onnx").stat().st_size == bytes_check["value"]


def test_a_student_that_needs_no_steps_has_its_page_without_any(tmp_path: Path) -> None:
    wanted = 'gate.requirements=["ndcg@20 >= 0.2 of teacher"]'
    gate = run(config(tmp_path, wanted, CHEAP, "evaluation.target=validation"), RunFolder(tmp_path))["gate"]
    assert (gate["decision"], gate["compression"], gate["tried"]) == ("met", "", [])
    page = render(tmp_path).read_text()
    assert "Gate: met" in page
    assert "made it smaller" not in page
    assert "What was tried" not in page


def test_steps_that_there_are_not_are_refused_before_anything_runs(tmp_path: Path) -> None:
    settings = config(tmp_path / "run", REQUIREMENTS, 'gate.compression=["int8 + int9"]')
    with pytest.raises(UserError, match="did you mean int8"):
        run(settings, RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_an_error_of_whoever_watches_ends_a_run_after_a_round(tmp_path: Path) -> None:
    seen: list[int] = []

    def watch(record: Mapping[str, Any], quality: PerUser | None) -> None:
        assert quality is not None
        assert quality.means()["ndcg@20"] == pytest.approx(record["metrics"]["student.ndcg@20"], abs=1e-5)
        seen.append(record["round"])
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run(config(tmp_path / "run", CHEAP, "num-server-rounds=2"), RunFolder(tmp_path / "run"), watch)
    assert seen == [1]


@pytest.mark.parametrize("limit", ["bytes <= 1e9", "bytes <= 9600"])
def test_the_gate_judges_the_lists_that_people_are_served(tmp_path: Path, limit: str) -> None:
    wanted = f'gate.requirements=["ndcg@20 >= 0","coverage@10 >= 0","{limit}"]'
    steps = ("algorithm.rank=32", "lists.steps=cold-users:strength=500,until=1000", 'gate.compression=["int8"]')
    summary = run(config(tmp_path, wanted, *steps, CHEAP, "evaluation.target=validation"), RunFolder(tmp_path))
    found = {check["requirement"]: check["value"] for check in summary["gate"]["checks"]}
    student, listed = summary["models"]["student"], summary["models"]["listed"]
    assert found["ndcg@20 >= 0"] == pytest.approx(listed["ndcg@20"]["mean"], abs=0.005)
    assert found["ndcg@20 >= 0"] != pytest.approx(student["ndcg@20"]["mean"], abs=0.005)
    assert found["coverage@10 >= 0"] == pytest.approx(listed["coverage@10"], abs=0.03)
    assert student["coverage@10"] > listed["coverage@10"] + 0.03  # popularity alone covers little
    assert summary["gate"]["compression"] == ("" if limit == "bytes <= 1e9" else "int8")
