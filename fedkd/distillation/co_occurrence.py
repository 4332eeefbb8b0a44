"""The plain statistic as numbers of pairs: how often two items are in one history, whatever their order."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedkd.distillation.pair_lists import Layout
from fedkd.distillation.residual import UserWeights

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class CoOccurrence:
    """The rule of the statistic: the weight of the user, for every pair of their items.

    Attributes
    ----------
    weights : UserWeights
        The public rule of weights.
    """

    weights: UserWeights

    @property
    def levels(self) -> int:
        """Largest whole number of one user."""
        return self.weights.levels

    def layout(self, num_items: int) -> Layout:
        """Return the places of the numbers."""
        return Layout(num_items)

    def lags(self, longest: int) -> int:
        """Return all lags."""
        return longest

    def numbers(self, lag: int, later: Ints, lengths: Ints) -> Ints:
        """Return the weight of every pair's user, shape [pairs, 1]."""
        del lag, later
        return self.weights.of(lengths)[:, None]

    def units(self) -> NDArray[np.float64]:
        """Return 1."""
        return np.ones((1, 1))
