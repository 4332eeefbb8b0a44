"""Costs against the closed form of another library, a general accountant and numerical integration."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from dp_accounting import dp_event
from dp_accounting.gaussian_mechanism import get_epsilon_gaussian
from dp_accounting.rdp import RdpAccountant
from scipy.stats import norm

from fedkd.errors import UserError
from fedkd.privacy import gaussian
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.events import Cost, total


def test_epsilon_of_many_gaussian_releases_is_that_of_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        multipliers = 10 ** rng.uniform(-0.5, 3, int(rng.integers(1, 40)))
        delta = float(10 ** rng.uniform(-12, -1))
        spent = epsilon(total(Cost.of_gaussian(float(z)) for z in multipliers), delta)
        one = float((multipliers**-2.0).sum() ** -0.5)
        oracle = get_epsilon_gaussian(one, delta, tol=1e-13)
        assert spent == pytest.approx(oracle, rel=1e-9, abs=1e-11)
        assert spent == pytest.approx(epsilon(Cost.of_gaussian(one), delta), rel=1e-11, abs=1e-12)


def test_extreme_costs() -> None:
    assert epsilon(Cost(0.0), 1e-5) == 0.0
    assert epsilon(Cost.of_gaussian(1e9), 1e-5) == 0.0
    assert epsilon(Cost.of_gaussian(1e-5), 1e-5) == math.inf
    assert epsilon(Cost.of_gaussian(0.01), 1e-5) == pytest.approx(gaussian.epsilon(100.0, 1e-5), rel=1e-9)


def test_costs_beyond_gaussian_are_converted_as_a_general_accountant_does() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        z, delta = float(10 ** rng.uniform(0, 1.5)), float(10 ** rng.uniform(-8, -3))
        oracle = RdpAccountant(orders=list(range(2, 2000))).compose(dp_event.GaussianDpEvent(z)).get_epsilon(delta)
        ours = epsilon(Cost(0.5 / z**2, gaussian=False), delta)
        assert ours >= epsilon(Cost.of_gaussian(z), delta)
        assert ours == pytest.approx(oracle, rel=2e-3, abs=1e-3)


def test_one_cost_beyond_gaussian_takes_all_to_the_looser_conversion() -> None:
    mixed = total([Cost.of_gaussian(2.0), Cost(0.1, gaussian=False)])
    assert not mixed.gaussian
    assert mixed.rho == 0.225
    assert epsilon(mixed, 1e-5) >= epsilon(Cost(0.225), 1e-5)


@pytest.mark.parametrize("pure", [1e-3, 0.1, 1.0, 5.0, 30.0])
def test_a_pure_release_reveals_no_more_than_its_gaussian(pure: float) -> None:
    distance = math.sqrt(2 * Cost.of_pure(pure).rho)
    false_alarm = np.concatenate([np.geomspace(1e-300, 0.4, 4000), np.linspace(0.4, 1, 1000)])
    detected = np.minimum(math.exp(pure) * false_alarm, 1 - math.exp(-pure) * (1 - false_alarm))
    assert (detected <= norm.cdf(norm.ppf(false_alarm) + distance) * (1 + 1e-9)).all()
    corner = 1 / (1 + math.exp(pure))
    assert norm.sf(norm.ppf(corner) + distance) == pytest.approx(corner, rel=1e-6)


def test_counts_multiply() -> None:
    assert Cost(0.5, gaussian=False).times(4) == Cost(2.0, gaussian=False)


def test_nonsense_is_refused() -> None:
    wrong: list[Callable[[], Cost]] = [
        lambda: Cost(math.nan),
        lambda: Cost(-1.0),
        lambda: Cost.of_gaussian(0.0),
        lambda: Cost.of_gaussian(-1.0),
        lambda: Cost.of_pure(0.0),
    ]
    for nonsense in wrong:
        with pytest.raises(UserError):
            nonsense()
    for delta in (0.0, 1.0, math.nan):
        with pytest.raises(UserError):
            epsilon(Cost(1.0), delta)
