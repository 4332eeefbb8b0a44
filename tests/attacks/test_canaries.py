"""The canary audit accuses no correct code, and comes close to what correct code leaks."""

import math

import numpy as np
import pytest

from fedkd.attacks.canaries import CONFIDENCE, Claim, audit, observe, separation
from fedkd.attacks.releases import release_path
from fedkd.errors import UserError
from fedkd.privacy.gaussian import noise_multiplier
from fedkd.privacy.options import PrivacyOptions

DELTA, CLIP = 1e-5, 3.0


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [1.0, 4.0, 8.0])
def test_no_false_alarm_in_200_seeds(correct_mechanism, epsilon):
    deviation = CLIP * noise_multiplier(epsilon, DELTA)
    found = []
    for seed in range(200):
        rng = np.random.default_rng([seed, int(epsilon)])
        mechanism = correct_mechanism(CLIP, deviation, rng)
        found.append(audit(mechanism, Claim(epsilon, DELTA), CLIP, rng, canaries=2400, together=100))
    assert not any(one.exceeded for one in found)
    assert found[0].confidence == CONFIDENCE == 1 - 2.5e-4


@pytest.mark.parametrize("epsilon", [4.0, 8.0])
def test_most_of_a_true_epsilon_is_measured(correct_mechanism, epsilon):
    rng = np.random.default_rng(0)
    mechanism = correct_mechanism(CLIP, CLIP * noise_multiplier(epsilon, DELTA), rng)
    found = audit(mechanism, Claim(epsilon, DELTA), CLIP, rng)
    assert 0.7 * epsilon < found.gaussian < epsilon
    assert 0.2 * epsilon < found.one_run < epsilon
    assert found.measured == max(found.gaussian, found.one_run)


@pytest.mark.parametrize("factored", [False, True])
@pytest.mark.parametrize("adjacency", ["add-remove", "replace-one"])
@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
def test_the_real_release_is_correct_and_not_wasteful(mode, adjacency, factored):
    options = PrivacyOptions(mode=mode, epsilon=4, delta=DELTA, adjacency=adjacency)
    mechanism = release_path(options.planned(math.ceil(100 / options.honest_fraction), 2), {"x": CLIP}, factored)
    claim = Claim(4.0, DELTA, adjacency=adjacency)
    many = 1500 if mode == "local" else 3000  # half the noise, or twice as much, shows with either
    found = audit(mechanism, claim, 1.0, np.random.default_rng(0), canaries=many, together=100)
    assert not found.broken
    assert 0.3 * 4 < found.measured <= 4


def test_several_arrays_that_would_each_fill_the_clip_are_refused():
    """Noise planned for one array does not protect four that one client fills at once."""
    protection = PrivacyOptions(mode="central", epsilon=4, delta=DELTA).planned(300, 1)
    with pytest.raises(UserError, match="one array"):
        release_path(protection, dict.fromkeys("abcd", CLIP))(np.zeros((3, 5)))


def test_scores_are_those_of_a_plain_loop(clipped_rows):
    calls = []

    def mechanism(rows):
        calls.append(rows)
        return clipped_rows(rows, CLIP).sum(axis=0) + len(calls)

    seen = observe(mechanism, "add-remove", CLIP, np.random.default_rng(0), canaries=60, together=30)
    assert seen.present.shape == (2, 30)
    for run in range(2):
        rows, nothing = calls[2 * run], calls[2 * run + 1]
        assert not nothing.any()
        for canary in range(30):
            payload = rows[canary, canary]
            expected = {0: CLIP, 1: CLIP * 1e6, 2: CLIP * 1e6}[seen.kind[run, canary]] * seen.present[run, canary]
            assert payload == pytest.approx(expected)
            assert np.isnan(rows[canary, 30]) == (seen.present[run, canary] and seen.kind[run, canary] == 2)
            assert seen.scores[0, run, canary] == pytest.approx(seen.present[run, canary] + (2 * run + 1) / CLIP)
            assert seen.scores[1, run, canary] == pytest.approx(seen.present[run, canary] - 1 / CLIP)


def test_separated_scores_prove_a_shift_and_equal_ones_none():
    rng = np.random.default_rng(0)
    present = rng.random(4000) < 0.5
    assert separation(rng.normal(size=4000), present, 1e-3) == 0.0
    assert 1.6 < separation(rng.normal(size=4000) + 2 * present, present, 1e-3) <= 2.0
    assert separation(rng.normal(size=4000), np.ones(4000, bool), 1e-3) == 0.0


def test_a_release_of_another_shape_is_broken():
    found = audit(lambda rows: rows.sum(axis=0)[:-1], Claim(8.0, DELTA), CLIP, np.random.default_rng(0), 100, 50)
    assert found.exceeded
    assert "shape" in found.broken
