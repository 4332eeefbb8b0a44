"""Bounds against plain enumeration, simulation and known values."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, norm

from fedkd.attacks.bounds import (
    best_auroc,
    epsilon_from_rates,
    gaussian_shift,
    mean_finding,
    one_run_epsilon,
    one_run_p_value,
    share_bounds,
    shift_epsilon,
)
from fedkd.privacy.gaussian import noise_multiplier


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (3, 10), (117, 400), (1, 1)])
def test_share_bounds_are_where_the_tails_of_the_binomial_end(successes: int, trials: int) -> None:
    low, high = share_bounds(successes, trials, 0.01)
    assert low == 0 if successes == 0 else binom.sf(successes - 1, trials, low) == pytest.approx(0.005)
    assert high == 1 if successes == trials else binom.cdf(successes, trials, high) == pytest.approx(0.005)


def test_share_bounds_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    seen = rng.binomial(60, 0.3, 4000)
    bounds = {int(k): share_bounds(int(k), 60, 0.1) for k in np.unique(seen)}
    held = np.mean([bounds[int(k)][0] <= 0.3 <= bounds[int(k)][1] for k in seen])
    assert held >= 0.9


@pytest.mark.parametrize("epsilon", [0.0, 0.7, 3.0])
def test_a_p_value_of_guesses_is_that_of_coins_where_delta_is_zero(epsilon: float) -> None:
    right = math.exp(epsilon) / (1 + math.exp(epsilon))
    for correct in range(6):
        plain = sum(
            math.prod(right if hit else 1 - right for hit in hits)
            for hits in product([0, 1], repeat=5)
            if sum(hits) >= correct
        )
        assert one_run_p_value(epsilon, correct, 5, 9, 0.0) == pytest.approx(plain)


def test_delta_adds_the_slack_of_the_theorem() -> None:
    epsilon, correct, guesses, canaries, delta = 0.5, 40, 50, 100, 1e-4
    right = 1 / (1 + math.exp(-epsilon))
    tail = binom.sf(correct - 1, guesses, right)
    slack = max(
        2 / i * (binom.cdf(correct - 1, guesses, right) - binom.cdf(correct - i - 1, guesses, right))
        for i in range(1, canaries + 1)
    )
    assert one_run_p_value(epsilon, correct, guesses, canaries, delta) == pytest.approx(tail + slack * canaries * delta)


def test_randomised_response_is_measured_but_never_accused() -> None:
    """The mechanism for which the theorem is exact: every canary's bit is told truly with the largest probability."""
    rng, true = np.random.default_rng(0), 1.5
    share = 1 / (1 + math.exp(-true))
    bounds = [one_run_epsilon(rng.binomial(500, share, 4), 500, 500, 1e-9, 0.05) for _ in range(60)]
    assert np.mean(np.array(bounds) > true) <= 0.12
    assert np.mean(bounds) > 1.2


def test_all_right_guesses_prove_what_their_number_allows() -> None:
    bound = one_run_epsilon(np.array([100]), 100, 100, 0.0, 0.05)
    assert bound == pytest.approx(-math.log(0.05 ** (-1 / 100) - 1), abs=2e-3)


def test_rates_prove_epsilon_by_their_ratio() -> None:
    assert epsilon_from_rates(50, 100, 50, 100, 0.0, 0.05) == 0.0
    low, high = share_bounds(90, 100, 0.05)[0], share_bounds(5, 100, 0.05)[1]
    assert epsilon_from_rates(90, 100, 5, 100, 1e-3, 0.05) == pytest.approx(
        max(math.log((low - 1e-3) / high), math.log((1 - high - 1e-3) / (1 - low)))
    )
    assert epsilon_from_rates(0, 0, 0, 10, 0.0, 0.05) == 0.0


def test_a_gaussian_shift_is_found_and_never_exceeded() -> None:
    rng, shift = np.random.default_rng(0), 1.7
    counts = rng.binomial(5000, norm.cdf(shift - 0.8), 100), rng.binomial(5000, norm.cdf(-0.8), 100)
    bounds = [gaussian_shift(int(hits), 5000, int(alarms), 5000, 0.001) for hits, alarms in zip(*counts, strict=True)]
    assert max(bounds) <= shift
    assert min(bounds) > shift - 0.3


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 4.0, 8.0])
def test_a_shift_costs_what_its_noise_is_planned_for(epsilon: float) -> None:
    assert shift_epsilon(1 / noise_multiplier(epsilon, 1e-5), 1e-5) == pytest.approx(epsilon, rel=1e-6)
    assert shift_epsilon(0.0, 1e-5) == 0.0


def test_the_best_auroc_is_that_of_two_shifted_normals() -> None:
    rng = np.random.default_rng(0)
    present, absent = rng.normal(1.2, 1, 100_000), rng.normal(0, 1, 100_000)
    assert best_auroc(1.2) == pytest.approx(np.mean(present > absent), abs=0.005)


def test_a_mean_comes_with_students_interval() -> None:
    found = mean_finding("f1", np.array([0.1, 0.2, 0.6]), 0.05)
    half = 4.302653 * np.std([0.1, 0.2, 0.6], ddof=1) / math.sqrt(3)
    assert (found.value, found.high - found.value) == (pytest.approx(0.3), pytest.approx(half))
    assert mean_finding("f1", np.zeros(0), 0.05).value == 0.05
