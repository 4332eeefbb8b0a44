"""What private users have, released once to choose items by: its bound, its estimate, and both against naive forms."""

import numpy as np
import pytest

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.distillation.item_popularity import (
    PANEL,
    PRIOR_VARIANCE,
    panel_answer,
    panel_spec,
    probable_popularity,
)
from fedkd.messages.types import Answers
from fedkd.privacy.options import PrivacyOptions
from fedkd.ragged import Ragged

ITEMS = 40


def users(count, seed=0, items=ITEMS, mean=8):
    rng = np.random.default_rng(seed)
    chance = np.linspace(1.0, 0.05, items) ** 2
    rows = [
        rng.choice(items, min(items, rng.poisson(mean)), replace=False, p=chance / chance.sum()) for _ in range(count)
    ]
    return Interactions(np.arange(count).astype(str), Ragged.from_rows(rows, np.int32), Catalogue.numbered(items))


def test_an_answer_is_the_mean_direction_of_a_clients_users():
    data, owner = users(30, seed=1), np.repeat(np.arange(10), 3)
    found = panel_answer(data, owner, 12)
    for client in range(10):
        rows = [data.histories.take(np.array([user])).values for user in np.flatnonzero(owner == client)]
        naive = np.mean([np.isin(np.arange(ITEMS), row) / max(1, len(row)) ** 0.5 for row in rows], axis=0)
        np.testing.assert_allclose(found[client], naive)
    assert not found[10:].any()
    assert np.linalg.norm(found, axis=1).max() <= 1 + 1e-12


def test_ten_thousand_hard_contributions_stay_within_the_bound():
    guard = PrivacyOptions(mode="central", epsilon=1.0, delta=1e-6).planned(10_000, 1)
    rng, specs = np.random.default_rng(2), guard.specs(panel_spec(ITEMS))
    table = rng.normal(size=(10_000, ITEMS)) * 10.0 ** rng.integers(-300, 300, (10_000, 1))
    for value in (np.nan, np.inf, -np.inf, 1e38, 5e-324, 0.0):
        table[rng.random(table.shape) < 0.05] = value
    step = specs[PANEL].quantiser.step
    for row in table:
        out = guard.aggregator(specs).encode(Answers(0, np.array([0]), {PANEL: row[None]})).values[PANEL]
        assert np.linalg.norm(np.asarray(out, np.float64)) * step <= 1 + 1e-12


def test_without_noise_the_estimate_is_the_sum_and_with_much_the_public_order():
    public, private = users(20, seed=3), users(400, seed=4)
    exact = panel_answer(private, np.arange(400), 400).sum(axis=0)
    known = panel_answer(public, np.arange(20), 20).sum(axis=0)
    np.testing.assert_allclose(probable_popularity(exact, public, 400, 0.0), known + exact)
    np.testing.assert_allclose(probable_popularity(exact, public, 400, 1e9), 21 * known, rtol=1e-9, atol=1e-9)


def test_the_estimate_weighs_as_the_posterior_of_two_normals_does():
    public, noise = users(20, seed=3), 4.0
    pooled = np.random.default_rng(5).normal(size=ITEMS) * 10
    rows = panel_answer(public, np.arange(20), 20)
    found = probable_popularity(pooled, public, 400, noise)
    for item in range(ITEMS):
        prior = 20 * rows[:, item].sum()
        variance = PRIOR_VARIANCE * 20**2 * ((rows[:, item] ** 2).sum() + (rows**2).sum() / ITEMS) / 2
        posterior = (prior / variance + pooled[item] / noise**2) / (1 / variance + 1 / noise**2)
        assert found[item] == pytest.approx(rows[:, item].sum() + posterior)


def test_few_public_users_and_a_noised_sum_find_the_popular_items():
    """With five public users the sum finds eight more of the best forty items than these alone."""
    private, rng = users(900, seed=6, items=300, mean=20), np.random.default_rng(7)
    truth = panel_answer(private, np.arange(900), 900).sum(axis=0)
    best, hits = set(np.argsort(-truth)[:40].tolist()), []
    for seed in range(5):
        public = users(5, seed=100 + seed, items=300, mean=20)
        noised = probable_popularity(truth + rng.normal(0, 2.0, 300), public, 900, 2.0)
        hits.append([len(best & set(np.argsort(-p, kind="stable")[:40])) for p in (noised, public.popularity())])
    with_release, alone = np.mean(hits, axis=0)
    assert with_release > alone + 8


def test_without_public_users_the_sum_is_all_that_is_known():
    pooled = np.arange(ITEMS, dtype=float)
    np.testing.assert_array_equal(probable_popularity(pooled, users(0), 400, 3.0), pooled)
