"""Poisson sampling under replace-one, against integrals and a composition that share no code with the accountant."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from fedkd.privacy.accounting import epsilon, noise_multiplier
from fedkd.privacy.events import Adjacency
from fedkd.privacy.schedule import Release, Schedule
from fedkd.privacy.student_options import StudentPrivacy

Vector = NDArray[np.float64]


def accounted(adjacency: Adjacency, z: float, rate: float, steps: int, delta: float) -> float:
    return epsilon(Schedule((Release(z, rate, steps),), adjacency, "poisson" if rate < 1 else "none"), delta)


def mass(edges: Vector, z: float, rate: float, at: float) -> Vector:
    """Return the probability of every cell under (1 - rate) N(0, z^2) + rate N(at, z^2)."""
    return np.asarray(np.diff((1 - rate) * norm.cdf(edges, 0, z) + rate * norm.cdf(edges, at, z)))


def opposite(z: float, rate: float, steps: int, delta: float, cell: float = 2e-3) -> tuple[float, float]:
    """Return bounds on epsilon of vectors at +1 and -1: losses rounded down and up, composed by Fourier transform."""
    edges = np.arange(-1 - 9 * z, 1 + 9 * z, cell * z)
    loss = np.log1p(rate * np.expm1((-edges - 0.5) / z**2)) - np.log1p(rate * np.expm1((edges - 0.5) / z**2))
    grid = 5e-4 * float(np.std(loss[np.abs(edges) < z])) * math.sqrt(steps)
    size, found = 2**20, []
    here = mass(edges, z, rate, -1.0)
    for ends, rounded in ((loss[1:], np.floor), (loss[:-1], np.ceil)):  # the loss falls along the axis
        index = rounded(ends / grid).astype(int)
        assert np.abs(index).max() < size // 2
        single = np.zeros(size)
        np.add.at(single, index % size, here)
        joint = np.fft.irfft(np.fft.rfft(single) ** steps, size).clip(0)
        at = grid * ((np.arange(size) + size // 2) % size - size // 2)
        found.append(hockey(at, joint, delta))
    return found[0], found[1]


def hockey(at: Vector, joint: Vector, delta: float) -> float:
    def left(limit: float) -> float:
        return float((joint * -np.expm1(np.minimum(limit - at, 0))).sum()) - delta

    return float(brentq(left, 0.0, 200.0, xtol=1e-9))


SCHEDULES = [
    (1.0, 0.1, 100, 1e-6),
    (2.38, 0.2, 100, 1e-5),
    (1.94, 0.2, 20, 1e-5),
    (3.0, 0.7, 40, 1e-5),
    (0.9, 0.02, 30, 1e-5),
]


@pytest.mark.parametrize(("z", "rate", "steps", "delta"), SCHEDULES)
def test_epsilon_lies_between_bounds_of_an_independent_composition(
    z: float, rate: float, steps: int, delta: float
) -> None:
    low, high = opposite(z, rate, steps, delta)
    assert high - low < 0.08 * high
    assert low <= accounted("replace-one", z, rate, steps, delta) <= 1.005 * high


def test_a_known_value() -> None:
    found = {adjacency: accounted(adjacency, 1.0, 0.1, 100, 1e-6) for adjacency in ("add-remove", "replace-one")}
    assert found["replace-one"] == pytest.approx(11.7, abs=0.05)
    assert found["add-remove"] == pytest.approx(8.06, abs=0.05)


def divergence(first: Vector, second: Vector, factor: float) -> float:
    return float(np.maximum(first - factor * second, 0).sum())


def test_no_pair_of_vectors_is_told_apart_better_than_opposite_ones_of_full_length() -> None:
    """All of the plane: what two gradients, and the origin of those that were not sampled, span."""
    rng = np.random.default_rng(0)
    for _ in range(25):
        z, rate = float(10 ** rng.uniform(-0.3, 0.6)), float(rng.uniform(0.02, 1))
        axis = np.linspace(-1 - 7 * z, 1 + 7 * z, 321)
        wide = np.diff(axis)[0]

        def density(vector: Vector, z: float = z, rate: float = rate, axis: Vector = axis) -> Vector:
            there = np.outer(norm.pdf(axis, vector[0], z), norm.pdf(axis, vector[1], z))
            return (1 - rate) * np.outer(norm.pdf(axis, 0, z), norm.pdf(axis, 0, z)) + rate * there

        worst = density(np.array([-1.0, 0])), density(np.array([1.0, 0]))
        lengths, angles = rng.choice([0, 0.3, 1.0], 2), rng.uniform(0, 2 * math.pi, 2)
        pair = [
            density(length * np.array([math.cos(a), math.sin(a)])) for length, a in zip(lengths, angles, strict=True)
        ]
        for factor in np.exp(rng.uniform(-1, 3, 8)):
            for one, other in (pair, pair[::-1]):
                found = divergence(one, other, factor) * wide**2
                assert found <= divergence(*worst, factor) * wide**2 + 1e-4


def test_calibrated_noise_keeps_to_the_budget_and_that_of_a_user_does_not() -> None:
    for target, rate, steps in ((8.0, 0.2, 100), (2.0, 0.1, 60)):
        options = StudentPrivacy(epsilon=target, rate=rate, steps=steps, unit="interaction")
        low, high = opposite(options.multiplier(1), rate, steps, 1e-5)
        assert low <= target <= 1.02 * high
        wrong = options.model_copy(update={"unit": "user"}).multiplier(1)
        assert opposite(wrong, rate, steps, 1e-5)[0] > 1.2 * target


@pytest.mark.parametrize("seed", range(12))
def test_random_schedules_waste_little_and_cost_more_than_presence(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target, rate = float(10 ** rng.uniform(-0.5, 1.3)), float(10 ** rng.uniform(-2, 0))
    steps, delta = int(rng.integers(1, 300)), float(10 ** rng.uniform(-8, -4))
    z = noise_multiplier(target, delta, steps, rate, "replace-one", "poisson")
    found = accounted("replace-one", z, rate, steps, delta)
    assert target / 1.01 <= found <= target
    assert accounted("add-remove", z, rate, steps, delta) <= found
    assert found <= accounted("add-remove", z / 2, rate, steps, delta) * 1.01
