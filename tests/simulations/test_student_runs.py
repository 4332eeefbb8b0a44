"""Noisy training of students is paid for: once a question, in all runs that share a ledger."""

import json
import subprocess
import sys

import numpy as np
import pytest

import clients.app
from fedkd.config import load
from fedkd.privacy.account import EXHAUSTED
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.cost import Cost, total
from fedkd.privacy.ledger import Budget, Ledger
from fedkd.privacy.schedule import Release, Schedule
from fedkd.runs import RunFolder
from fedkd.statement import statement
from simulations.run import simulate

QUICK = [
    "data.synthetic.users=40",
    "data.synthetic.items=50",
    "data.synthetic.mean-history=12",
    "algorithm.name=fedavg",
    "algorithm.model.width=4",
    "algorithm.local.optimiser=sgd",
    "privacy.student.epsilon=4",
    "privacy.student.steps=3",
    "num-server-rounds=2",
    "runtime.cohort-size=16",
    "evaluation.baselines=[]",
]


def run(folder, ledger, *more):
    places = {"runtime.run-folder": folder, "privacy.ledger": ledger}
    config = load(None, [*QUICK, *more, *(f"{key}={json.dumps(str(path))}" for key, path in places.items())])
    done = RunFolder.create(folder, config)
    simulate(config)
    return done.read_arrays("student.safetensors"), done.lines("rounds.jsonl")


@pytest.mark.parametrize("mode", ["none", "local"])
def test_the_same_questions_get_the_same_answers_and_others_are_refused(tmp_path, mode):
    ledger = tmp_path / "privacy.ledger"
    more = [] if mode == "none" else ["privacy.mode=local", "privacy.epsilon=500", "privacy.delta=1e-3"]
    first, lines = run(tmp_path / "one", ledger, *more)
    again, _ = run(tmp_path / "two", ledger, *more)
    for name, array in first.items():
        np.testing.assert_array_equal(again[name], array)
    _, others = run(tmp_path / "three", ledger, *more, "algorithm.local.learning-rate=0.5", "evaluation.every=0")
    assert lines[-1]["answers"] == 36
    assert [line["answers"] for line in others] == [0, 0]
    assert others[0]["failures"] == {EXHAUSTED: 36}


def test_uncharged_training_would_be_noticed(tmp_path, monkeypatch):
    """Without the account the same question is answered anew, with fresh noise."""
    monkeypatch.setattr(clients.app, "_given", lambda *accounts: ())
    first, _ = run(tmp_path / "one", tmp_path / "privacy.ledger")
    again, _ = run(tmp_path / "two", tmp_path / "privacy.ledger")
    assert any(not np.array_equal(again[name], array) for name, array in first.items())


def test_the_ledger_tells_epsilon_of_all_steps(tmp_path):
    ledger = tmp_path / "privacy.ledger"
    run(tmp_path / "one", ledger)
    told = statement(ledger, delta=1e-5)["owners"]
    assert len(told) == 36
    rows = told[0]["releases"]
    assert len(rows) == 2
    assert "Poisson rate 0.2, 3 steps" in rows[0]["mechanism"]
    assert 3.9 < rows[1]["epsilon-so-far"] < 4 * 1.02
    assert rows[0]["epsilon"] < rows[1]["epsilon-so-far"]


def test_sampled_costs_are_those_of_their_schedule():
    one, many = Cost.of_steps(1.2, 0.1, 20), Cost.of_steps(1.2, 0.1, 60)
    assert total([one, one, one]) == many == one.times(3)
    expected = epsilon(Schedule((Release(1.2, 0.1, 60),), "add-remove", "poisson"), 1e-5)
    assert many.epsilon(1e-5) == expected
    assert Cost.of_steps(2.0, 1.0, 5) == Cost.of_gaussian(2.0).times(5)
    both = total([many, Cost.of_gaussian(3.0)])
    assert both.epsilon(1e-5) > max(expected, Cost.of_gaussian(3.0).epsilon(1e-5))


def test_steps_of_another_kind_never_join_a_schedule(tmp_path):
    book, limit = Ledger(tmp_path / "l"), Budget(100.0, 1e-5)
    assert book.charge("a", "one", Cost.of_steps(1.2, 0.1, 20), limit).fresh
    assert book.charge("a", "two", Cost.of_steps(1.2, 0.1, 20), limit).fresh
    assert not book.charge_all(["a"], "three", Cost.of_steps(1.3, 0.1, 1), limit)
    assert not book.charge_all(["a"], "four", Cost.of_gaussian(50.0), limit)
    assert book.spent("a") == Cost.of_steps(1.2, 0.1, 40)
    assert book.remaining("a", Cost.of_steps(1.2, 0.1, 400), Budget(8.0, 1e-5)) < 10


def test_a_process_that_charges_steps_imports_no_torch(tmp_path):
    code = (
        "import sys; from fedkd.privacy.ledger import Ledger, Budget; from fedkd.privacy.cost import Cost; "
        f"Ledger({str(tmp_path / 'l')!r}).charge('a', 'r', Cost.of_steps(1.2, 0.1, 20), Budget(9.0, 1e-5)); "
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
