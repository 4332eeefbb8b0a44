"""The closed form of the Gaussian mechanism against a general accountant and published values."""

import math

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution
from scipy.special import log_ndtr as reference
from scipy.stats import norm

from fedkd.errors import UserError
from fedkd.privacy import accounting
from fedkd.privacy.events import Cost, total
from fedkd.privacy.gaussian import delta, epsilon, log_ndtr, noise_multiplier


def test_the_normal_tail_is_right_everywhere() -> None:
    for x in np.concatenate([np.linspace(-60, 12, 3000), [-1e3, -1e6, -34.999999, -35.000001]]):
        assert log_ndtr(float(x)) == pytest.approx(float(reference(x)), rel=3e-13, abs=1e-300)


@pytest.mark.parametrize(("at", "expected"), [(8, 0.600), (4, 1.081), (2, 1.994), (1, 3.731)])
def test_a_single_release_needs_the_known_multiplier(at: float, expected: float) -> None:
    assert noise_multiplier(at, 1e-5) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("multiplier", [0.5, 1.0, 2.0, 10.0])
@pytest.mark.parametrize("at_delta", [1e-3, 1e-6])
def test_epsilon_agrees_with_a_privacy_loss_distribution(multiplier: float, at_delta: float) -> None:
    oracle = privacy_loss_distribution.from_gaussian_mechanism(multiplier, value_discretization_interval=1e-4)
    upper = oracle.get_epsilon_for_delta(at_delta)
    assert epsilon(1 / multiplier, at_delta) <= upper
    assert epsilon(1 / multiplier, at_delta) == pytest.approx(upper, rel=2e-3, abs=2e-4)


def test_delta_is_the_textbook_formula_where_that_is_stable() -> None:
    rng = np.random.default_rng(0)
    for at, z in zip(rng.uniform(0, 5, 200), rng.uniform(0.4, 5, 200), strict=True):
        plain = norm.cdf(0.5 / z - at * z) - math.exp(at) * norm.cdf(-0.5 / z - at * z)
        assert delta(float(at), 1 / float(z)) == pytest.approx(plain, rel=1e-6, abs=1e-15)


def test_a_planned_multiplier_is_never_short_and_hardly_long() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        at, at_delta = float(10 ** rng.uniform(-2, 2)), float(10 ** rng.uniform(-9, -2))
        releases = int(rng.integers(1, 200))
        each = noise_multiplier(at, at_delta, releases)
        spent = accounting.epsilon(Cost.of_gaussian(each).times(releases), at_delta)
        assert spent <= at * (1 + 1e-9)
        assert spent >= at * (1 - 1e-6)


def test_composition_is_the_privacy_loss_distribution_of_the_product() -> None:
    single = [privacy_loss_distribution.from_gaussian_mechanism(z, value_discretization_interval=1e-4) for z in (2, 3)]
    together = single[0].compose(single[1]).get_epsilon_for_delta(1e-5)
    both = total([Cost.of_gaussian(2), Cost.of_gaussian(3)])
    assert accounting.epsilon(both, 1e-5) == pytest.approx(together, rel=3e-3)


def test_no_noise_is_no_privacy_and_endless_noise_costs_nothing() -> None:
    assert epsilon(1e9, 1e-5) == math.inf
    assert delta(0.0, 0.0) == 0.0
    assert epsilon(0.0, 1e-5) == 0.0


@pytest.mark.parametrize("wrong", [(0.0, 1e-5), (math.nan, 1e-5), (math.inf, 1e-5), (1.0, 0.0), (1.0, 1.0)])
def test_impossible_budgets_are_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(UserError):
        noise_multiplier(*wrong)
