"""The gate of a run, from its requirements to the summary, the terminal and the report."""

from pathlib import Path
from typing import Any

import pytest

from fedkd.report import render
from fedkd.runs.folder import RunFolder
from simulations.run import gate_lines, run
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
