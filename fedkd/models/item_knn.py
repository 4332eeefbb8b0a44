"""Item-based neighbours: an item is scored by the cosine similarity of its nearest items in the history.

Sarwar et al., Item-based collaborative filtering recommendation algorithms, WWW 2001.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedkd.data.interactions import Interactions
from fedkd.models.base import Recommender, multi_hot


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

    def hidden(self, history: Tensor) -> Tensor:
        """Return the history as a binary vector, shape [batch, items]."""
        return multi_hot(history, self.num_items)

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        items, k = self.neighbours.shape
        rows = torch.arange(items, device=history.device).repeat_interleave(k)
        index = torch.stack([rows, self.neighbours.flatten()])
        weights = torch.sparse_coo_tensor(index, self.similarity.flatten(), (items, items), check_invariants=True)
        scores: Tensor = torch.sparse.mm(weights, self.hidden(history).T)
        return scores.T


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
    matrix = interactions.matrix()
    together = (matrix.T @ matrix).tocsr()
    norms = np.sqrt(interactions.popularity())
    k = max(1, min(k, interactions.num_items - 1))
    neighbours = np.zeros((interactions.num_items, k), np.int64)
    similarity = np.zeros((interactions.num_items, k), np.float32)
    for item in range(interactions.num_items):
        part = slice(together.indptr[item], together.indptr[item + 1])
        others = together.indices[part]
        cosine = together.data[part] / (norms[item] * norms[others] + shrink)
        cosine[others == item] = 0.0
        best = np.lexsort((others, -cosine))[:k]
        neighbours[item, : len(best)], similarity[item, : len(best)] = others[best], cosine[best]
    return ItemKNN(neighbours, similarity)
