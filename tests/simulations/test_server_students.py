"""Runs whose student is a network that the server distils: what devices get, what is kept, and what a dry run says."""

from pathlib import Path

import pytest

from fedkd.models.arrays import load_arrays
from fedkd.runs.config import flatten, load, unflatten
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from simulations.dry_run import forecast_cost
from simulations.run import run

QUICK = [
    "data.synthetic.users=40",
    "data.synthetic.items=50",
    "data.synthetic.mean-history=12",
    "algorithm.model.family=cnn",
    "algorithm.model.width=6",
    "algorithm.model.channels=[4,6]",
    "algorithm.distillation.samples=30",
    "algorithm.distillation.steps=10",
    "algorithm.distillation.batch-size=8",
    "algorithm.central.epochs=1",
    'evaluation.baselines=["public-teacher", "public-student", "centralised"]',
]
CENTRAL = ["privacy.mode=central", "privacy.epsilon=8", "privacy.delta=1e-3"]


@pytest.mark.parametrize("privacy", [[], CENTRAL])
def test_a_network_is_distilled_deployed_and_reported(tmp_path: Path, privacy: list[str]) -> None:
    config = load(None, [*QUICK, *privacy, f'runtime.run-folder="{tmp_path}"'])
    assert unflatten(flatten(config)) == config
    summary = run(config, RunFolder(tmp_path))
    together = federation(config)
    blank = config.algorithm.blank_student(together.fold.train.catalogue)  # type: ignore[attr-defined]
    load_arrays(blank, RunFolder(tmp_path).read_arrays("student.safetensors"))
    assert summary["models"]["student"]["parameters"] == blank.size()[0]
    assert {"teacher", "public-teacher", "public-student", "centralised"} <= summary["models"].keys()
    found = forecast_cost(config, together)
    spent = summary["traffic"]
    real = spent["total-up-bytes-per-client"] + spent["total-down-bytes-per-client"]
    assert found.bytes_per_client == pytest.approx(real, rel=0.25)
    assert found.seconds["teaching"] > 0
