"""The code that the documents show works as it stands there."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedkd.runs.config import load
from fedkd.runs.folder import RunFolder
from fedkd.testing.protocols import check_protocol
from simulations.run import run

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["data.synthetic.users=60", "data.synthetic.items=80", "data.synthetic.mean-history=15", "runtime.threads=1"]


def block(document: str, word: str) -> str:
    """Return the one block of Python in a document that has a word in it."""
    (code,) = (b for b in re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.S) if word in b)
    return str(code)


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the reader's own, with the protocol of README in a file."""
    (tmp_path / "my_protocol.py").write_text(block("README.md", "class MeanScores"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_protocol", None)


def settings(folder: Path, *more: str) -> list[str]:
    own = ["algorithm.name=my_protocol:MeanScores", 'evaluation.baselines=["popularity"]']
    return [*SMALL, *own, *more, f"runtime.run-folder={json.dumps(str(folder))}"]


@pytest.mark.parametrize("cohort_size", [1, 7])
def test_the_example_recommends_what_is_popular(copied: Path, run_federation: Any, cohort_size: int) -> None:
    protocol = importlib.import_module("my_protocol").MeanScores()
    outcome = run_federation(protocol, rounds=1, cohort_size=cohort_size)
    train = outcome.federation.fold.train
    assert outcome.metrics[0]["clients"] == train.num_users
    np.testing.assert_allclose(outcome.scores[0], train.popularity() / train.num_users, atol=1e-3)


def test_the_example_passes_the_conformance_suite(copied: Path) -> None:
    check_protocol(importlib.import_module("my_protocol").MeanScores())


@pytest.mark.parametrize("more", [[], ["privacy.mode=central", "privacy.epsilon=1000", "privacy.delta=1e-5"]])
def test_the_example_runs_from_a_file_of_its_own(copied: Path, more: list[str]) -> None:
    config = load(ROOT / "simulations" / "conf" / "quickstart.toml", settings(copied / "run", *more))
    models = run(config, RunFolder.create(copied / "run", config))["models"]
    assert models["student"]["ndcg@20"]["mean"] == pytest.approx(models["popularity"]["ndcg@20"]["mean"], abs=0.05)


def test_the_schedules_cost_what_stands_beside_them(capsys: pytest.CaptureFixture[str]) -> None:
    code = block("fedkd/privacy/README.md", "adaptive=True")
    exec(code, {})
    spent, fits = capsys.readouterr().out.split()
    assert [f"{float(spent):.2f}", fits] == re.findall(r"# ([\w.]+):", code)
