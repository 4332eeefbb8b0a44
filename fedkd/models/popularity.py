"""Popularity: the items that most users have, for everyone alike; the lowest row that a model must beat."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedkd.data.interactions import Interactions
from fedkd.models.base import Recommender


class Popularity(Recommender):
    """Score every item by the number of its users.

    Parameters
    ----------
    counts : ndarray, shape [items]
        Users of every item.
    """

    counts: Tensor

    def __init__(self, counts: NDArray[np.number]) -> None:
        super().__init__(len(counts))
        self.register_buffer("counts", torch.from_numpy(counts.astype(np.float32)))

    def hidden(self, history: Tensor) -> Tensor:
        """Return the one feature that popularity knows, a constant, shape [batch, 1]."""
        return torch.ones(history.shape[0], 1, device=history.device)

    def forward(self, history: Tensor) -> Tensor:
        """Return the same scores for every history, shape [batch, items]."""
        return self.hidden(history) * self.counts


def fit_popularity(interactions: Interactions) -> Popularity:
    """Return the popularity of a training set."""
    return Popularity(interactions.popularity())
