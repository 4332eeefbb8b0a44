"""Choosing items by what private users have: one paid, noised release before all others."""

import json

import numpy as np
import pytest

from fedkd.errors import UserError
from fedkd.privacy import accounting
from fedkd.privacy.events import total
from fedkd.runs.config import load
from fedkd.runs.federation import federation, mechanisms
from fedkd.runs.folder import RunFolder
from server.run_writer import RunWriter
from simulations.run import simulate

QUICK = [
    "data.synthetic.users=200",
    "data.synthetic.items=120",
    "data.synthetic.mean-history=20",
    "partition.public-fraction=0.03",
    "algorithm.rank=8",
    "algorithm.block=40",
    "evaluation.baselines=[]",
    "privacy.epsilon=400",
    "privacy.delta=1e-4",
    "privacy.panel-share=0.2",
]


def configured(folder, *more):
    return load(None, [*QUICK, f"runtime.run-folder={json.dumps(str(folder))}", *more])


def run(folder, *more):
    config = configured(folder, *more)
    done = RunFolder.create(folder, config)
    simulate(config)
    return done


def panel_of(done):
    config = done.config()
    return RunWriter(done, config).progress(federation(config).setup(config)).state


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
def test_a_run_releases_first_what_items_clients_have(tmp_path, mode):
    done = run(tmp_path / "run", f"privacy.mode={mode}", "privacy.metrics-share=0.1")
    lines = [line for line in done.lines("privacy.jsonl") if "release" in line]
    assert [line["release"] for line in lines] == ["panel", "answers", "metrics"]
    spent = [line["epsilon-so-far"] for line in lines]
    assert 0 < spent[0] < spent[1] < spent[2] <= 400
    state = panel_of(done)
    everyone = federation(done.config()).fold.train.popularity()
    alone = federation(done.config()).setup(done.config()).popular
    best = set(np.argsort(-everyone, kind="stable")[:40].tolist())
    chosen = set(state.arrays["reference.panel"].tolist())
    assert len(best & chosen) > len(best & set(alone[:40].tolist()))
    np.testing.assert_array_equal(state.setup.popular[:40], state.arrays["reference.panel"])


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
@pytest.mark.parametrize("epsilon", [0.3, 8.0])
def test_three_kinds_of_releases_keep_to_one_budget(tmp_path, mode, epsilon):
    given = [f"privacy.mode={mode}", f"privacy.epsilon={epsilon}", "privacy.metrics-share=0.3"]
    config = configured(tmp_path, *given)
    training = mechanisms(config, 180).answers
    parts = [part.cost for part in (training, mechanisms(config, 180).panel, mechanisms(config, 180).metrics)]
    assert 0.999 * epsilon < accounting.epsilon(total(parts), 1e-4) <= epsilon


def test_a_run_that_dies_after_the_release_reads_it_again_and_pays_once(tmp_path, monkeypatch):
    from server.strategy import Distillation

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Distillation, "_collect", dies)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", "privacy.mode=central")
    done = RunFolder.open(tmp_path / "run")
    simulate(done.config())
    whole = run(tmp_path / "whole", "privacy.mode=central")
    costs = [
        done.read_json("summary.json")["privacy"]["epsilon"],
        whole.read_json("summary.json")["privacy"]["epsilon"],
    ]
    assert costs[0] == costs[1] <= 400


def test_a_resumed_run_keeps_the_panel_that_it_paid_for(tmp_path):
    more = ["privacy.mode=central", "algorithm.name=fedmd", "algorithm.panel=30", "num-server-rounds=2"]
    small = ["algorithm.references=4", "algorithm.transfer.epochs=1", "algorithm.model.width=4"]
    without = [given for given in QUICK if not given.startswith("algorithm.")]
    path = tmp_path / "run"
    config = load(None, [*without, *more, *small, f"runtime.run-folder={json.dumps(str(path))}"])
    done = RunFolder.create(path, config)
    simulate(config)
    chosen = panel_of(done).setup.popular
    assert chosen.tolist() != federation(config).setup(config).popular.tolist()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["privacy.mode=central", "privacy.panel-share=0.6", "privacy.metrics-share=0.5"], "leave 0% of the budget"),
        (["privacy.mode=central", "privacy.panel-share=2"], "panel-share"),
    ],
)
def test_shares_that_leave_nothing_are_refused(tmp_path, given, says):
    with pytest.raises(UserError, match=says):
        configured(tmp_path, *given)


def test_a_share_without_protection_is_refused():
    with pytest.raises(UserError, match="panel-share"):
        load(None, ["privacy.panel-share=0.1"])
