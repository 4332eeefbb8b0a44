"""Next-item statistics of histories: what was chosen a while ago, and what is chosen next, as numbers that sum.

Before every item of a history but the first, the earlier ones are an input: for every decay ``tau`` a vector over the
catalogue with ``exp(-steps / tau)`` at an item that lies ``steps`` items back (0 for the last). Over all these prefixes
``G = sum phi phi^T`` and ``K = sum phi e(next)^T`` are what a linear model of the next item is made of,
``B = (G + ridge I)^-1 K``. It is in the line of SLIST (Choe et al., Session-aware linear item-item models for
session-based recommendation, WWW 2021) and TALE (Park et al., WSDM 2025).

A user has an item once, so they have an ordered pair of items at one lag, and every number of ``G`` and ``K`` comes
from one such pair. It is divided by its greatest value and rounded to a whole number of levels: answers are exact,
their sums too, and a contribution can be taken back without a trace.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedkd.distillation.pair_lists import Layout

Ints = NDArray[np.int64]

LEVELS = 31
"""Largest number of an answer; more levels make longer numbers, and no better teacher."""


@dataclass(frozen=True)
class NextItem:
    """The rule of the statistic.

    Attributes
    ----------
    decays : tuple of float
        The decays, in steps.
    levels : int
        Largest whole number of one user.
    """

    decays: tuple[float, ...]
    levels: int = LEVELS

    def layout(self, num_items: int) -> Layout:
        """Return the places of the numbers."""
        return Layout(num_items, len(self.decays), targets=True)

    @property
    def window(self) -> int:
        """The number of steps after which everything is rounded to zero."""
        return int(max(self.decays) * np.log(2 * self.levels)) + 2

    def lags(self, longest: int) -> int:
        """Return how many lags give numbers that are not rounded to zero, with histories of at most ``longest``."""
        return min(longest, self.window)

    def numbers(self, lag: int, later: Ints, lengths: Ints) -> Ints:
        """Return the numbers of ordered pairs of items, shape [pairs, decays * (decays + 1)].

        Parameters
        ----------
        lag : int
            Steps from the older to the newer item; 0 for an item with itself.
        later : ndarray of int64, shape [pairs]
            How many items follow the newer one.
        lengths : ndarray of int64, shape [pairs]
            Length of the history; not used.
        """
        del lengths
        distinct = np.arange(min(int(later.max(initial=0)), self.window) + 1)  # beyond, they are rounded alike
        return self._table(lag, distinct)[np.minimum(later, len(distinct) - 1)]

    def _table(self, lag: int, later: Ints) -> Ints:
        """Return the numbers for each number of items that follow."""
        rates = 1.0 / np.asarray(self.decays)
        shared = 1.0 - np.exp(-later[:, None, None] * (rates[:, None] + rates))
        inputs = np.exp(-lag * rates)[:, None] * shared
        if lag == 0:  # of an item with itself, each pair of inputs counts once
            inputs = inputs * np.triu(np.ones((len(rates), len(rates))))
        next_one = np.exp(-(lag - 1) * rates) * (lag > 0)
        targets = np.broadcast_to(next_one[:, None], (len(later), len(rates), 1))
        whole = np.rint(self.levels * np.concatenate([inputs, targets], axis=2))
        return np.asarray(whole.reshape(len(later), -1), np.int64)

    def units(self) -> NDArray[np.float64]:
        """Return the value of one level, by decay of the older and of the newer item, the target last.

        Returns
        -------
        ndarray, shape [decays, decays + 1]
        """
        rates = 1.0 / np.asarray(self.decays)
        most = 1.0 / (1.0 - np.exp(-(rates[:, None] + rates)))
        return np.hstack([most, np.ones((len(rates), 1))]) / self.levels
