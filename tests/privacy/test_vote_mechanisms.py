"""Votes through the mechanisms of a run: what leaves, what it costs, and what it tells."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from fedkd.attacks.ballots import ballot_epsilon
from fedkd.attacks.canaries import Claim
from fedkd.errors import UserError
from fedkd.messages.types import Answers, Kind, Quantiser, Spec
from fedkd.privacy import accounting
from fedkd.privacy.events import total
from fedkd.privacy.mechanisms.base import ANSWERS, METRICS
from fedkd.privacy.mechanisms.votes import VoteMechanism
from fedkd.privacy.options import PrivacyOptions
from fedkd.runs.config import load
from fedkd.runs.federation import mechanisms
from fedkd.runs.folder import RunFolder
from fedkd.testing.mechanisms import estimated
from simulations.run import simulate

DELTA = 1e-5
HARD = [0.0, 1.0, -1.0, 1e38, -1e38, 5e-324, np.nan, np.inf, -np.inf, 3.0]


def guard(votes, epsilon=4.0, queries=8, items=5, participants=100, releases=1, adjacency="add-remove", **more):
    mode, adjacency = ("local", "replace-one") if votes == "randomised-response" else ("central", adjacency)
    given = {"mode": mode, "epsilon": epsilon, "delta": DELTA, "votes": votes, "adjacency": adjacency, "unit": "client"}
    options = PrivacyOptions.model_validate({**given, **more})
    return options.planned(participants, releases, ballot=(queries, items))


def specs(queries=8, items=5):
    grid = Quantiser(1.0, 0, 1, 12, signed=False)
    return {"votes": Spec(Kind.VOTES, (queries, items), quantiser=grid, clip=math.sqrt(queries))}


def ballots_of(voters, queries=8, items=5, seed=0):
    drawn = np.random.default_rng(seed).integers(items + 1, size=(voters, queries))
    return (drawn[..., None] == np.arange(items)).astype(np.int8)


@pytest.mark.parametrize("votes", ["noisy-max", "randomised-response"])
@pytest.mark.parametrize("epsilon", [0.5, 4.0, 8.0])
@pytest.mark.parametrize("releases", [1, 5])
def test_all_queries_of_all_rounds_cost_the_budget_and_no_more(votes, epsilon, releases):
    own = guard(votes, epsilon, releases=releases)
    assert 0.999 * epsilon < accounting.epsilon(total([own.cost.times(releases)]), DELTA) <= epsilon * (1 + 1e-9)
    assert own.spent({ANSWERS: 1}) < epsilon or releases == 1


def test_votes_and_metrics_share_one_budget():
    for votes in ("noisy-max", "randomised-response"):
        own = replace(guard(votes, **{"metrics-share": 0.2}), portion=0.8)
        metrics = own.part(METRICS)
        assert metrics is not None
        assert not isinstance(metrics, VoteMechanism)
        assert accounting.epsilon(total([own.cost, metrics.cost]), DELTA) <= 4.0 * (1 + 1e-9)


@pytest.mark.parametrize("votes", ["noisy-max", "randomised-response"])
def test_ten_thousand_hard_ballots_count_as_one_vote_a_query_at_most(votes):
    own, rng = guard(votes, queries=3, items=4), np.random.default_rng(1)
    for voters in (1, 7):
        for _ in range(10_000 // voters // 2):
            sent = own.cast(rng.choice(HARD, (voters, 3, 4)))
            assert sent.min() >= 0
            assert sent.sum(axis=1).max() <= voters


def test_neighbours_differ_by_one_vote_a_query_before_the_maximum():
    own, rng = guard("noisy-max"), np.random.default_rng(2)
    for _ in range(500):
        all_votes = rng.choice(HARD, (6, 8, 5))
        moved = own.cast(all_votes) - own.cast(all_votes[:-1])
        assert moved.min() >= 0
        assert moved.sum(axis=1).max() <= 1


def test_what_is_released_of_a_maximum_is_one_winner_a_query_and_no_count():
    own = guard("noisy-max", epsilon=20_000.0)
    cast = ballots_of(60)
    sent = own.aggregator(specs()).encode(Answers(1, np.arange(60), {"votes": cast}))
    told = own.aggregator(specs()).decode(sent).values["votes"].value
    assert set(np.unique(told)) == {0, own.participants}
    counts = cast.sum(axis=0)
    np.testing.assert_array_equal(counts[np.arange(8), told.argmax(axis=1)], counts.max(axis=1))
    assert own.noise == 0.0


def test_responses_are_unbiased_with_the_noise_that_is_promised():
    own, cast = guard("randomised-response", epsilon=30.0, participants=80), ballots_of(80, seed=3)
    draws = [
        estimated(own, Answers(1, np.arange(80), {"votes": cast}), specs()).values["votes"].value for _ in range(1500)
    ]
    np.testing.assert_allclose(np.mean(draws, axis=0), cast.sum(axis=0), atol=1.0)
    nobody = np.zeros_like(cast)
    empty = [
        estimated(own, Answers(1, np.arange(80), {"votes": nobody}), specs()).values["votes"].value for _ in range(600)
    ]
    assert np.std(empty) == pytest.approx(own.noise * math.sqrt(8), rel=0.05)


@pytest.mark.parametrize(
    ("votes", "adjacency"),
    [("noisy-max", "add-remove"), ("noisy-max", "replace-one"), ("randomised-response", "replace-one")],
)
def test_one_voter_shows_no_more_than_is_claimed_and_a_bug_shows_more(votes, adjacency):
    own = guard(votes, 2.0, queries=6, items=3, adjacency=adjacency)
    claim = Claim(2.0, DELTA, "client", own.guarantee.adjacency)
    honest = ballot_epsilon(own, claim, np.random.default_rng(0), 4000)
    assert honest <= 2.0
    own.__dict__["query_epsilon"] *= 8  # an eighth of the noise
    own.__dict__.pop("responses", None)
    assert ballot_epsilon(own, claim, np.random.default_rng(0), 4000) > 2.0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["privacy.mode=central", "privacy.votes=noisy-max"], r"algorithm\.name=gnmax"),
        (["algorithm.name=gnmax", "privacy.mode=central", "privacy.votes=noisy-max"], r"algorithm\.panel"),
        (["algorithm.name=gnmax", "privacy.mode=local", "privacy.votes=noisy-max"], "mode=central"),
        (["algorithm.name=gnmax", "privacy.mode=local", "privacy.votes=randomised-response"], "replace-one"),
        (["algorithm.name=gnmax", "privacy.mode=central", "privacy.votes=randomised-response"], "mode=local"),
    ],
)
def test_mechanisms_that_do_not_fit_are_refused_when_the_configuration_is_read(given, says):
    with pytest.raises(UserError, match=says):
        load(None, [*given, "privacy.epsilon=4", "privacy.delta=1e-5", "privacy.unit=client"])


def test_a_plan_for_other_votes_is_refused():
    with pytest.raises(UserError, match="8 votes among 5 items"):
        guard("noisy-max").specs(specs(9, 5))
    with pytest.raises(UserError, match="votes alone"):
        guard("noisy-max").specs({"x": Spec(Kind.SCORES, (8, 5), clip=1.0)})


RUN = [
    "data.synthetic.users=120",
    "data.synthetic.items=60",
    "data.synthetic.mean-history=15",
    "partition.clients=silos",
    "partition.num-silos=12",
    "algorithm.name=gnmax",
    "algorithm.queries=12",
    "algorithm.panel=20",
    "algorithm.central.epochs=2",
    "algorithm.model.width=4",
    "evaluation.baselines=[]",
    "runtime.threads=1",
    "privacy.unit=client",
    "privacy.delta=1e-4",
]


@pytest.mark.parametrize(
    "how",
    [
        ["privacy.votes=noisy-max", "privacy.mode=central"],
        ["privacy.votes=randomised-response", "privacy.mode=local", "privacy.adjacency=replace-one"],
    ],
)
def test_a_run_votes_through_them_and_writes_down_what_it_cost(tmp_path, how):
    place = f"runtime.run-folder={json.dumps(str(tmp_path / 'run'))}"
    config = load(None, [*RUN, *how, "privacy.epsilon=60", "privacy.metrics-share=0.2", place])
    done = RunFolder.create(tmp_path / "run", config)
    simulate(config)
    lines = [line for line in done.lines("privacy.jsonl") if "release" in line]
    assert how[0].partition("=")[2] in lines[0]["mechanism"]
    assert "Gaussian" in lines[1]["mechanism"]
    assert lines[-1]["epsilon-so-far"] <= 60
    assert done.lines("rounds.jsonl")[-1]["answers"] == 12
    parts = [mechanisms(config, 12).answers.cost, mechanisms(config, 12).metrics.cost]
    assert 59.9 < accounting.epsilon(total(parts), 1e-4) <= 60 * (1 + 1e-9)
    assert isinstance(mechanisms(config, 12).answers, VoteMechanism)
