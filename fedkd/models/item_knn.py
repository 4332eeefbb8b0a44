"""Item-based neighbours: an item is scored by the cosine similarity of its nearest items in the history.

Sarwar et al., Item-based collaborative filtering recommendation algorithms, WWW 2001.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from fedkd.data.interactions import Interactions
from fedkd.models.base import Recommender, distinct, multi_hot

_BLOCK = 1024
"""Items whose pairs with all others are counted at a time."""


class ItemKNN(Recommender):
    """Sum the similarities between an item and those of its neighbours that the history contains.

    Parameters
    ----------
    neighbours : ndarray of int64, shape [items, k]
        The nearest items of every item.
    similarity : ndarray of float32, shape [items, k]
        Their similarities; 0 where an item has fewer than ``k`` neighbours.
    """

    neighbours: Tensor
    similarity: Tensor

    def __init__(self, neighbours: NDArray[np.int64], similarity: NDArray[np.float32]) -> None:
        super().__init__(len(neighbours))
        self.register_buffer("neighbours", torch.from_numpy(neighbours))
        self.register_buffer("similarity", torch.from_numpy(similarity))
        items, k = neighbours.shape
        pairs = (neighbours.ravel(), np.repeat(np.arange(items), k))
        # A row for every item of a history: what it adds to which scores.
        self._adds = sparse.csr_array(sparse.coo_array((similarity.ravel(), pairs), shape=(items, items)))

    def hidden(self, history: Tensor) -> Tensor:
        """Return the history as a binary vector, shape [batch, items]."""
        return multi_hot(history, self.num_items)

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        items, real = distinct(history, self.num_items)
        starts = np.concatenate([[0], real.sum(1).cumsum(0).numpy()])
        seen = items[real].numpy()
        own = sparse.csr_array((np.ones(len(seen), np.float32), seen, starts), shape=(len(history), self.num_items))
        return torch.from_numpy((own @ self._adds).toarray())

    def uncounted_flops(self, history: Tensor) -> int:
        """Return two for every neighbour of every item of a history."""
        items, real = distinct(history, self.num_items)
        return 2 * int(np.diff(self._adds.indptr)[items[real].numpy()].sum())


def fit_item_knn(interactions: Interactions, k: int = 100, shrink: float = 20.0) -> ItemKNN:
    """Return the item-kNN model of a training set.

    Parameters
    ----------
    interactions : Interactions
        The training set.
    k : int
        Neighbours of an item, cut to the number of other items.
    shrink : float
        Added to the denominator of the cosine, so that rare pairs do not look alike by chance.
    """
    norms = np.sqrt(interactions.popularity())
    k = max(1, min(k, interactions.num_items - 1))
    neighbours = np.zeros((interactions.num_items, k), np.int64)
    similarity = np.zeros((interactions.num_items, k), np.float32)
    for item, others, count in _together(interactions):
        cosine = count / (norms[item] * norms[others] + shrink)
        cosine[others == item] = 0.0
        best = np.lexsort((others, -cosine))[:k]
        neighbours[item, : len(best)], similarity[item, : len(best)] = others[best], cosine[best]
    return ItemKNN(neighbours, similarity)


def _together(interactions: Interactions) -> Iterator[tuple[int, NDArray[np.int32], NDArray[np.float32]]]:
    """Yield every item, the items that occur with it, and in how many histories each does."""
    matrix = interactions.matrix()
    users_of = sparse.csr_array(matrix.T)
    for start in range(0, interactions.num_items, _BLOCK):
        pairs = sparse.csr_array(users_of[start : start + _BLOCK] @ matrix)
        for row in range(pairs.shape[0]):
            part = slice(pairs.indptr[row], pairs.indptr[row + 1])
            yield start + row, pairs.indices[part], pairs.data[part]
