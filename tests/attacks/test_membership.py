"""Membership inference against plain loops, planted signals and published behaviour."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from fedkd.attacks.membership import halves, hidden_loss, likelihood_ratio, membership
from fedkd.models.base import Recommender
from fedkd.models.ease import fit_ease
from fedkd.ragged import Ragged


def test_the_area_is_the_share_of_ordered_pairs():
    rng = np.random.default_rng(0)
    scores, member = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.4
    pairs = [(a > b) + (a == b) / 2 for a in scores[member] for b in scores[~member]]
    assert membership("loss", scores, member).auroc.value == pytest.approx(np.mean(pairs))


def test_the_interval_of_the_area_covers_the_truth_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), []
    truth = norm.cdf(1 / math.sqrt(2))
    for _ in range(400):
        member = np.arange(120) < 50
        found = membership("loss", rng.normal(size=120) + member, member, confidence=0.9).auroc
        covered.append(found.low <= truth <= found.high)
    assert 0.85 < np.mean(covered) < 0.95


def test_members_known_at_few_false_alarms():
    rng = np.random.default_rng(0)
    member = np.arange(40_000) < 20_000
    found = membership("loss", rng.normal(size=40_000) + 2 * member, member).recognised
    assert found.value == pytest.approx(norm.sf(norm.isf(0.01) - 2), abs=0.02)
    assert found.low < found.value < found.high
    nothing = membership("loss", rng.normal(size=40_000), member).recognised
    assert nothing.value == pytest.approx(nothing.random, abs=0.004)


def test_no_more_is_proven_than_the_best_attacker_can_do():
    """Twenty others set the threshold, so that often many more than 1 % of all others pass it."""
    rng, member, proven = np.random.default_rng(0), np.arange(220) < 200, []
    for _ in range(400):
        proven.append(membership("loss", rng.normal(size=220) + 2 * member, member, confidence=0.9).recognised.low)
    assert np.mean(np.array(proven) > norm.sf(norm.isf(0.01) - 2)) < 0.1


def test_no_other_may_pass_where_there_are_few():
    scores, member = np.array([3.0, 5.0, 1.0, 2.0, 4.0]), np.array([True, True, False, False, False])
    assert membership("loss", scores, member).recognised.value == 0.5


def test_the_likelihood_ratio_is_that_of_two_normals():
    rng = np.random.default_rng(0)
    members = halves(30, 4, rng)
    shadows = rng.normal(size=(8, 30)) - 0.7 * members
    loss = rng.normal(size=30)
    residuals = []
    for client in range(30):
        for inside in (True, False):
            own = shadows[members[:, client] == inside, client]
            residuals.extend(own - own.mean())
    deviation = np.sqrt(np.mean(np.square(residuals)))
    for client, ratio in enumerate(likelihood_ratio(loss, shadows, members)):
        inside, outside = (shadows[members[:, client] == side, client].mean() for side in (True, False))
        expected = norm.logpdf(loss[client], inside, deviation) - norm.logpdf(loss[client], outside, deviation)
        assert ratio == pytest.approx(expected, rel=1e-6)


def test_shadows_come_in_halves_that_complete_each_other():
    members = halves(11, 3, np.random.default_rng(0))
    assert members.sum(axis=1).tolist() == [5, 5, 5, 6, 6, 6]
    assert members.sum(axis=0).tolist() == [3] * 11


def test_shadows_see_what_the_loss_alone_hides():
    """Clients differ in how hard they are to predict; only shadows know how hard each one is."""
    rng = np.random.default_rng(0)
    hardness, members = rng.normal(0, 5, 200), halves(200, 8, rng)
    losses = hardness + rng.normal(0, 0.5, (16, 200)) - members
    member = rng.random(200) < 0.5
    loss = hardness + rng.normal(0, 0.5, 200) - member
    assert membership("loss", -loss, member).auroc.value < 0.7
    assert membership("shadows", likelihood_ratio(loss, losses, members), member).auroc.low > 0.8


class Constant(Recommender):
    """Scores every item by its number, whatever was shown."""

    def hidden(self, history: Tensor) -> Tensor:
        return history[:, :1].float()

    def forward(self, history: Tensor) -> Tensor:
        return torch.arange(self.num_items).float().expand(len(history), -1)


def test_the_hidden_half_is_scored_given_the_other():
    loss = hidden_loss(Constant(4), Ragged.from_rows([[0, 3, 2, 1], [1], []], np.int32))
    chance = np.exp([-np.inf, 1, -np.inf, 3])
    expected = -(math.log(chance[3] / chance.sum()) + math.log(chance[1] / chance.sum())) / 2
    assert loss.tolist() == [pytest.approx(expected), 0, 0]


def test_a_model_that_remembers_gives_its_members_away(private_interactions):
    data = private_interactions(120)
    inside = np.arange(120) % 2 == 0
    model = fit_ease(data.take(np.flatnonzero(inside)), 1.0)
    found = membership("loss", -hidden_loss(model, data.histories), inside)
    assert found.auroc.low > 0.6
