"""The Skellam mechanism: integer noise whose sums are Skellam again, so that every client can add a share of it.

Agarwal, Kairouz & Liu, The Skellam mechanism for differentially private federated learning, NeurIPS 2021, theorem 3.5:
noise of variance ``mu`` on integers of sensitivities ``D1`` and ``D2`` (in the norms l1 and l2) has Renyi divergence at
most ``a D2^2 / (2 mu) + min(((2a - 1) D2^2 + 6 D1) / (4 mu^2), 3 D1 / (2 mu))`` for every whole order ``a``. It becomes
(epsilon, delta) as in Canonne, Kamath & Steinke, The discrete Gaussian, NeurIPS 2020, proposition 12.
"""

import math

import numpy as np
from numpy.typing import NDArray

from fedkd.errors import UserError
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.calibration import bisect_ratio
from fedkd.privacy.events import skellam_cost


def skellam_epsilon(variance: float, l2: float, l1: float, delta: float, releases: float = 1) -> float:
    """Return epsilon of some releases of integers under Skellam noise.

    Parameters
    ----------
    variance : float
        Of the noise on every coordinate of the sum, in squared grid steps.
    l2, l1 : float
        Sensitivities of the sum, in grid steps.
    delta : float
        Between 0 and 1.
    releases : float
        How many such sums are released; need not be whole.
    """
    return epsilon(skellam_cost(variance, l2, l1).times(releases), delta)


def skellam_multiplier(at_epsilon: float, delta: float, l2: float, l1: float, releases: float = 1) -> float:
    """Return the smallest standard deviation over ``l2`` that keeps some releases within a budget."""

    def enough(multiplier: float) -> bool:
        return skellam_epsilon((multiplier * l2) ** 2, l2, l1, delta, releases) <= at_epsilon

    low, high = 1e-3, 1e6
    if not enough(high):
        raise UserError(
            f"no noise brings epsilon down to {at_epsilon} at delta {delta} for {releases} releases; raise it"
        )
    return bisect_ratio(enough, low, high, 1 + 1e-9)


SAFE_MEAN = 1e12
"""Largest mean of a Poisson number: from some 10**14 on NumPy's are a per cent and more too narrow or too wide."""


def skellam(variance: float, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.int64]:
    """Return independent Skellam numbers of mean 0: differences of two Poisson numbers, of as many as it takes."""
    draws = max(1, math.ceil(variance / 2 / SAFE_MEAN))
    mean, total = variance / 2 / draws, np.zeros(shape, np.int64)
    for _ in range(draws):
        total += generator.poisson(mean, shape) - generator.poisson(mean, shape)
    return total
