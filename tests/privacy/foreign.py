"""A mechanism of a user's own: discrete Laplace noise on the sum, added by a trusted server."""

import math
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedkd.privacy.accounting import renyi_multiplier
from fedkd.privacy.events import Cost
from fedkd.privacy.mechanisms.base import FINEST, Mechanism
from fedkd.privacy.mechanisms.description import Way
from fedkd.privacy.randomness import noise_generator


class Laplace(Mechanism):
    """Discrete Laplace noise of scale ``b`` on every coordinate.

    A coordinate that moves by ``x`` is ``x / b``-private at delta 0, hence its Renyi divergence of order ``a`` is at
    most ``a (x / b)^2 / 2`` (Bun & Steinke, TCC 2016, proposition 1.4). Coordinates are independent, so all of them
    together cost at most what Gaussian noise of standard deviation ``b`` costs, counted as concentrated.
    """

    name: ClassVar[str] = "laplace"
    strength: ClassVar[int] = 1
    server_pays: ClassVar[bool] = True
    trust: ClassVar[str] = "the server is trusted with the exact sum, and adds Laplace noise before anything is taught"
    way: ClassVar[Way] = Way(
        client="clips its answer",
        total="the exact sum",
        server="adds Laplace noise",
        models="(epsilon, delta)",
        single="without noise",
    )

    @cached_property
    def multiplier(self) -> float:
        one = renyi_multiplier(*self.guarantee.budget)
        return self.sensitivity * one * math.sqrt(self.releases / self.portion)

    @cached_property
    def cost(self) -> Cost:
        return replace(Cost.of_gaussian(self.multiplier / self.sensitivity), gaussian=False)

    @property
    def noise(self) -> float:
        return math.sqrt(2) * self.multiplier

    @property
    def description(self) -> str:
        return f"discrete Laplace noise, scale {self.multiplier:.4g}"

    def server_noise(self, exact: NDArray[np.int64]) -> NDArray[np.int64]:
        return exact + discrete_laplace(self.multiplier / FINEST, exact.shape, noise_generator())


def discrete_laplace(scale: float, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the difference of two geometric numbers, whose chance falls by ``exp(-1 / scale)`` a step."""
    chance = -math.expm1(-1 / scale)
    return rng.geometric(chance, shape) - rng.geometric(chance, shape)


class Nameless(Mechanism):
    """It leaves out what whoever reports needs."""
