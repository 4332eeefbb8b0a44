"""The student's quality under protection: one paid, noised sum of the devices' own measurements."""

import json

import numpy as np
import pytest

from fedkd.errors import UserError
from fedkd.evaluation.device import CLEAR, METRICS_SUM, contributions, estimated
from fedkd.evaluation.metrics import METRICS
from fedkd.messages.types import Answers
from fedkd.privacy import accounting
from fedkd.privacy.events import total
from fedkd.privacy.mechanisms.base import ANSWERS
from fedkd.ragged import Ragged, offsets
from fedkd.runs.config import load
from fedkd.runs.federation import mechanisms
from fedkd.runs.folder import RunFolder
from simulations.run import simulate

QUICK = [
    "data.synthetic.users=200",
    "data.synthetic.items=100",
    "data.synthetic.mean-history=20",
    "algorithm.rank=8",
    "evaluation.baselines=[]",
]


def configured(folder, *more):
    given = [*QUICK, "privacy.delta=1e-4", f"runtime.run-folder={json.dumps(str(folder))}", *more]
    return load(None, given)


def run(folder, *more):
    config = configured(folder, *more)
    done = RunFolder.create(folder, config)
    simulate(config)
    return done, done.lines("rounds.jsonl")[-1]["metrics"]


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("epsilon", [0.3, 8.0])
def test_training_and_metrics_together_keep_to_the_budget(tmp_path, mode, share, epsilon):
    config = configured(
        tmp_path, f"privacy.mode={mode}", f"privacy.epsilon={epsilon}", f"privacy.metrics-share={share}"
    )
    for releases in (1, 7):
        training = mechanisms(config, 180).answers
        training = type(training)(training.guarantee, 180, releases, training.portion)
        measured = mechanisms(config, 180).metrics
        spent = accounting.epsilon(total([training.cost.times(releases), measured.cost]), 1e-4)
        assert 0.999 * epsilon < spent <= epsilon
        assert training.spent({ANSWERS: releases}) < epsilon


def test_a_client_adds_the_mean_of_his_users_and_a_one_and_nothing_without_targets():
    values = np.random.default_rng(0).random((5, len(METRICS))).astype(np.float32)
    table = contributions(Ragged(values, offsets(np.array([2, 0, 3]))))
    assert table.shape == (3, len(METRICS) + 1)
    np.testing.assert_allclose(table[0, :-1], values[:2].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(table[2, :-1], values[2:].mean(axis=0), rtol=1e-6)
    assert table[:, -1].tolist() == [1, 0, 1]
    assert not table[1].any()
    assert np.linalg.norm(table, axis=1).max() <= METRICS_SUM["metrics"].clip


def test_no_contribution_exceeds_the_clip_whatever_a_device_measures(tmp_path):
    config = configured(tmp_path, "privacy.mode=central", "privacy.epsilon=1", "privacy.metrics-share=0.5")
    guard = mechanisms(config, 2_000).metrics
    rng, width, specs = np.random.default_rng(1), len(METRICS) + 1, guard.specs(METRICS_SUM)
    table = rng.normal(size=(10_000, width)) * 10.0 ** rng.integers(-300, 300, (10_000, width))
    for value in (np.nan, np.inf, -np.inf, 1e38, 5e-324):
        table[rng.random(table.shape) < 0.05] = value
    step, clip = specs["metrics"].quantiser.step, METRICS_SUM["metrics"].clip
    for row in table:
        out = guard.aggregator(specs).encode(Answers(1, np.array([0]), {"metrics": row[None]})).values["metrics"]
        assert np.linalg.norm(np.asarray(out, np.float64)) * step <= clip * (1 + 1e-12)


def test_means_and_their_standard_errors_are_those_of_many_draws():
    rng, noise, clients = np.random.default_rng(2), 5.0, 400
    truth = np.append(np.linspace(0.1, 0.9, len(METRICS)), 1.0) * clients
    draws = [estimated(truth + rng.normal(0, noise, len(truth)), noise) for _ in range(2_000)]
    for name, mean in zip(METRICS, truth[:-1] / clients, strict=True):
        seen = np.array([draw[name] for draw in draws])
        assert seen.mean() == pytest.approx(mean, abs=0.002)
        assert seen.std() == pytest.approx(np.mean([draw[f"{name}.noise"] for draw in draws]), rel=0.1)


@pytest.mark.parametrize("count", [-3.0, 0.0, CLEAR * 5 - 0.1])
def test_a_count_that_drowns_in_the_noise_says_nothing(count):
    assert estimated(np.append(np.ones(len(METRICS)), count), 5.0) == {}


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
def test_a_run_releases_metrics_near_the_true_ones(tmp_path, mode):
    done, metrics = run(tmp_path / "run", f"privacy.mode={mode}", "privacy.epsilon=400", "privacy.metrics-share=0.5")
    error = metrics["student.private.ndcg@20.noise"]
    assert 0 < error < 0.1
    assert abs(metrics["student.private.ndcg@20"] - metrics["student.ndcg@20"]) < 5 * error + 1e-4
    lines = [line for line in done.lines("privacy.jsonl") if "release" in line]
    assert [line["release"] for line in lines] == ["answers", "metrics"]


def test_metrics_are_charged_and_refused_when_nothing_is_left(tmp_path):
    shared = ["privacy.mode=central", "privacy.metrics-share=0.5", f"privacy.ledger={tmp_path / 'privacy.ledger'}"]
    _, first = run(tmp_path / "one", *shared, "privacy.epsilon=400")
    assert "student.private.ndcg@20" in first
    done, second = run(tmp_path / "two", *shared, "privacy.epsilon=400", "seed=5")
    assert not any("private" in name for name in second)
    assert done.finished or (tmp_path / "two" / "summary.json").exists()


def test_without_a_share_no_device_says_how_good_it_is(tmp_path):
    _, metrics = run(tmp_path / "run", "privacy.mode=central", "privacy.epsilon=400")
    assert not any("private" in name for name in metrics)


def test_a_share_without_protection_is_refused():
    with pytest.raises(UserError, match="metrics-share"):
        load(None, ["privacy.metrics-share=0.1"])


def test_epsilon_that_is_reported_holds_the_metrics_too(tmp_path):
    done, _ = run(tmp_path / "run", "privacy.mode=central", "privacy.epsilon=400", "privacy.metrics-share=0.5")
    before, after = [line["epsilon-so-far"] for line in done.lines("privacy.jsonl") if "release" in line]
    assert before < 399 < after <= 400
    told = done.read_json("summary.json")["privacy"]
    assert told["epsilon"] == after
    assert "one release of the student's quality" in told["statement"]
    assert 0 < told["metrics"]["student.private.ndcg@20"] < 1
