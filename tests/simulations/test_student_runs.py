"""Noisy training of students is paid for: once a question, in all runs that share a ledger."""

import json
import subprocess
import sys

import numpy as np
import pytest

import clients.app
from fedkd.cli.ledger_report import statement
from fedkd.errors import UserError
from fedkd.messages.missing import Missing
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.budget import Budget
from fedkd.privacy.events import Cost, Steps, total
from fedkd.privacy.ledger import Ledger
from fedkd.privacy.schedule import Release, Schedule
from fedkd.runs.config import load
from fedkd.runs.folder import RunFolder
from simulations.run import run as whole_run
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
    "runtime.threads=1",
    "evaluation.baselines=[]",
]

LOCAL = ["privacy.mode=local", "privacy.epsilon=500", "privacy.delta=1e-3"]


def run(folder, ledger, *more):
    places = {"runtime.run-folder": folder, "privacy.ledger": ledger}
    config = load(None, [*QUICK, *more, *(f"{key}={json.dumps(str(path))}" for key, path in places.items())])
    done = RunFolder.create(folder, config)
    simulate(config)
    return done.read_arrays("student.safetensors"), done.lines("rounds.jsonl")


@pytest.mark.parametrize("mode", ["none", "local"])
def test_the_same_questions_get_the_same_answers_and_others_are_refused(tmp_path, mode):
    ledger = tmp_path / "privacy.ledger"
    more = [] if mode == "none" else LOCAL
    first, lines = run(tmp_path / "one", ledger, *more)
    again, _ = run(tmp_path / "two", ledger, *more)
    for name, array in first.items():
        np.testing.assert_array_equal(again[name], array)
    _, others = run(tmp_path / "three", ledger, *more, "algorithm.local.learning-rate=0.5", "evaluation.every=0")
    assert lines[-1]["answers"] == 36
    assert [line["answers"] for line in others] == [0, 0]
    assert others[0]["failures"] == {Missing.EXHAUSTED.text: 36}


def test_uncharged_training_would_be_noticed(tmp_path, monkeypatch):
    """Without the account the same question is answered anew, with fresh noise."""
    monkeypatch.setattr(clients.app, "_given", lambda *accounts: ())
    first, _ = run(tmp_path / "one", tmp_path / "privacy.ledger")
    again, _ = run(tmp_path / "two", tmp_path / "privacy.ledger")
    assert any(not np.array_equal(again[name], array) for name, array in first.items())


def test_baselines_that_are_protocols_run_beside_noisy_students(tmp_path):
    more = ["num-server-rounds=1", "evaluation.baselines=fedavg,local-only", "evaluation.baseline-rounds=1"]
    config = load(None, [*QUICK, *more, f"runtime.run-folder={json.dumps(str(tmp_path / 'run'))}"])
    models = whole_run(config, RunFolder.create(tmp_path / "run", config))["models"]
    assert {"student", "fedavg", "local-only"} <= set(models)


def test_with_an_adaptive_budget_later_runs_may_train_otherwise(tmp_path):
    """The first run's noise and rate are not those of the second, which is paid for as long as the filter allows."""
    ledger, more = tmp_path / "privacy.ledger", ["privacy.adaptive=true", "privacy.student.epsilon-limit=6"]
    other = [*more, "privacy.student.rate=0.5", "privacy.student.epsilon=3"]
    again, anew = other, [*other, "algorithm.local.learning-rate=0.5"]  # the same questions, and new ones
    runs = [run(tmp_path / str(number), ledger, *keys)[1] for number, keys in enumerate((more, other, again, anew))]
    assert [[line["answers"] for line in lines] for lines in runs] == [[36, 36], [36, 36], [36, 36], [0, 0]]
    told = statement(ledger, delta=1e-5)["owners"][0]["releases"]
    assert len(told) == 4
    assert told[0]["counted-by"] == "a Renyi filter"
    assert 5.5 < told[-1]["epsilon-so-far"] <= 6


def test_an_adaptive_budget_needs_more_room_than_one_run(tmp_path):
    for more, key in (
        (["privacy.adaptive=true"], "privacy.student.epsilon-limit=4"),
        (["privacy.adaptive=true", "privacy.student.epsilon-limit=9", *LOCAL], "privacy.epsilon-limit=8"),
    ):
        with pytest.raises(UserError, match=f"Renyi filter counts it as .*; set {key}"):
            run(tmp_path / key, tmp_path / "privacy.ledger", *more)


@pytest.mark.parametrize(("unit", "adjacency"), [("interaction", "replace-one"), ("user", "add-remove")])
def test_the_ledger_tells_epsilon_of_all_steps_and_whom_they_protect(tmp_path, unit, adjacency):
    ledger = tmp_path / "privacy.ledger"
    run(tmp_path / "one", ledger, f"privacy.student.unit={unit}")
    told = statement(ledger, delta=1e-5)["owners"]
    assert len(told) == 36
    rows = told[0]["releases"]
    assert len(rows) == 2
    assert f"unit {unit}, {adjacency}, Poisson rate 0.2, 3 steps" in rows[0]["mechanism"]
    assert 3.9 < rows[1]["epsilon-so-far"] < 4 * 1.02
    assert rows[0]["epsilon"] < rows[1]["epsilon-so-far"]


@pytest.mark.parametrize(("first", "then"), [("interaction", "user"), ("user", "interaction")])
def test_a_ledger_of_one_unit_refuses_the_other(tmp_path, first, then):
    """What is spent stays spent, and nobody trains, even where the second run's budget is far larger."""
    ledger = tmp_path / "privacy.ledger"
    run(tmp_path / "one", ledger, f"privacy.student.unit={first}")
    before = statement(ledger, delta=1e-5)["owners"]
    more = [f"privacy.student.unit={then}", "privacy.student.epsilon=40"]
    _, lines = run(tmp_path / "two", ledger, *more)
    assert [line["answers"] for line in lines] == [0, 0]
    assert lines[0]["failures"] == {Missing.EXHAUSTED.text: 36}
    assert statement(ledger, delta=1e-5)["owners"] == before


def epsilon_of(adjacency, *releases):
    return epsilon(Schedule(releases, adjacency, "poisson"), 1e-5)


def test_sampled_costs_are_those_of_their_schedule():
    for adjacency in ("add-remove", "replace-one"):
        one, many = (Cost.of_steps(adjacency, 1.2, 0.1, count) for count in (20, 60))
        assert total([one, one, one]) == many == one.times(3)
        expected = epsilon_of(adjacency, Release(1.2, 0.1, 60))
        assert epsilon(many, 1e-5) == expected
        both = total([many, Cost.of_gaussian(3.0)])
        wide = 2 if adjacency == "replace-one" else 1
        assert epsilon(both, 1e-5) == epsilon_of(adjacency, Release(1.2, 0.1, 60), Release(3.0 * wide))
        assert epsilon(both, 1e-5) > max(expected, epsilon(Cost.of_gaussian(3.0), 1e-5))


def test_steps_with_everybody_cost_what_gaussian_releases_cost():
    expected = epsilon(Cost.of_gaussian(2.0).times(5), 1e-5)
    assert epsilon(Cost.of_steps("add-remove", 2.0, 1.0, 5), 1e-5) == pytest.approx(expected, rel=1e-9)
    assert epsilon(Cost.of_steps("replace-one", 4.0, 1.0, 5), 1e-5) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_steps_of_both_adjacencies_all_count_as_replace_one(rate):
    user, interaction = Cost.of_steps("add-remove", 3.0, rate, 30), Cost.of_steps("replace-one", 4.0, rate, 20)
    joint = total([user, interaction])
    assert len(joint.sampled) == 2
    assert epsilon(joint, 1e-5) == epsilon_of("replace-one", Release(3.0, rate, 30), Release(4.0, rate, 20))
    assert epsilon(joint, 1e-5) > epsilon_of("add-remove", Release(3.0, rate, 30), Release(4.0, rate, 20))
    assert epsilon(joint, 1e-5) > max(epsilon(user, 1e-5), epsilon(interaction, 1e-5))
    assert len(total([user, Cost.of_steps("replace-one", 3.0, rate, 1)]).sampled) == 2


@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_steps_of_another_kind_never_join_a_schedule(tmp_path, rate):
    book, limit = Ledger(tmp_path / "l"), Budget(100.0, 1e-5)
    assert book.charge("a", "one", Cost.of_steps("replace-one", 3.0, rate, 20), limit).fresh
    assert book.charge("a", "two", Cost.of_steps("replace-one", 3.0, rate, 20), limit).fresh
    assert not book.charge_all(["a"], "three", Cost.of_steps("replace-one", 3.3, rate, 1), limit)
    assert not book.charge_all(["a"], "four", Cost.of_gaussian(50.0), limit)
    assert not book.charge_all(["a"], "five", Cost.of_steps("add-remove", 3.0, rate, 1), limit)
    assert book.spent("a") == Cost.of_steps("replace-one", 3.0, rate, 40)
    assert book.history("a")[0].cost.sampled == (Steps("replace-one", 3.0, rate, 20),)
    assert book.remaining("a", Cost.of_steps("replace-one", 3.0, rate, 400), Budget(8.0, 1e-5)) < 10
    with pytest.raises(UserError, match="at another cost"):
        book.charge("a", "one", Cost.of_steps("add-remove", 3.0, rate, 20), limit)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("swap", 1.0, 0.1, 1), "add-remove or replace-one"),
        (("add-remove", 0.0, 0.1, 1), "noise must be positive"),
        (("add-remove", 1.0, 1.1, 1), "at most 1"),
        (("replace-one", 1.0, 0.1, 0), "a step at least"),
    ],
)
def test_impossible_steps_are_refused(wrong, words):
    with pytest.raises(UserError, match=words):
        Steps(*wrong)


def test_a_process_that_charges_steps_imports_no_torch(tmp_path):
    code = (
        "import sys; from fedkd.privacy.budget import Budget; from fedkd.privacy.events import Cost; "
        "from fedkd.privacy.ledger import Ledger; "
        "cost = Cost.of_steps('replace-one', 2.0, 0.1, 20); "
        f"Ledger({str(tmp_path / 'l')!r}).charge('a', 'r', cost, Budget(9.0, 1e-5)); "
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
