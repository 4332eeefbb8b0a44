"""Scores in few coordinates that everyone knows, so that noise stays below the clients' signal.

Noise of standard deviation ``s`` on every coordinate of a sum has the norm ``s sqrt(D)`` in ``D`` coordinates, whereas
the signal is never longer than all clips together. So clients release the coordinates of their scores
along few orthonormal directions among the references, for few items. The directions are the leading singular ones of
the public student's own scores: they are sent, so that all machines mean the same, and tell nothing new. The size of
the noise is known, and the server discounts it (Efron & Morris, Stein's estimation rule and its competitors, JASA
1973).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.aggregation.answer_budget import AnswerBudget

AGREEMENT = 0.1
"""Norm of the noise over that of a sum of clients that agree and are at their clips; chosen on validation."""

ITEMS_PER_DIRECTION = 50
"""Items over directions in a release; chosen on validation."""


@dataclass(frozen=True)
class Size:
    """The number of coordinates that a client releases.

    Attributes
    ----------
    directions : int
        Among the references.
    items : int
        The most popular ones, in each direction.
    """

    directions: int
    items: int


def affordable(budget: AnswerBudget, references: int, items: int) -> Size:
    """Return how many coordinates keep the norm of the noise to ``AGREEMENT`` of the most that clients can say.

    Parameters
    ----------
    budget : AnswerBudget
        Of an answer.
    references, items : int
        Numbers of both.
    """
    coordinates = budget.numbers(AGREEMENT)
    directions = int(np.clip(round((coordinates / ITEMS_PER_DIRECTION) ** 0.5), 1, references))
    return Size(directions, int(np.clip(coordinates // directions, 1, items)))


def leading_directions(scores: NDArray[Any], count: int) -> NDArray[np.float32]:
    """Return the ``count`` orthonormal directions among references along which scores are largest.

    Parameters
    ----------
    scores : ndarray, shape [references, items]
        Scores that are public already.
    count : int
        At most as many as references or items.

    Returns
    -------
    ndarray, shape [count, references]
        Left singular vectors as rows.
    """
    left, _, _ = np.linalg.svd(np.asarray(scores, np.float64), full_matrices=False)
    return np.ascontiguousarray(left[:, :count].T, np.float32)


def signal_share(pooled: NDArray[Any], noise: float) -> float:
    """Return the share of signal in a noised sum, in squares: 1 without noise, about 0 if there is nothing else.

    The expected square of the sum is that of the signal plus ``noise^2`` a coordinate, and the latter is known.

    Parameters
    ----------
    pooled : ndarray
        The sum.
    noise : float
        Standard deviation of the noise on every coordinate, in the units of the sum.
    """
    square = float(np.square(np.asarray(pooled, np.float64)).sum())
    return max(0.0, 1.0 - pooled.size * noise**2 / square) if square else 0.0


def shrunk(pooled: NDArray[Any], noise: float) -> NDArray[np.float64]:
    """Return a noised sum with every row times its own share of signal, so that faint directions do no harm.

    Parameters
    ----------
    pooled : ndarray, shape [directions, items]
        The sum.
    noise : float
        As of `signal_share`.
    """
    shares = np.array([signal_share(row, noise) for row in pooled])
    return np.asarray(shares[:, None] * np.asarray(pooled, np.float64))
