"""EASE, the linear autoencoder in closed form: B minimises |X - X B|^2 + l2 |B|^2 with a zero diagonal.

Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019, equation 8: with ``P = (G + l2 I)^-1`` and
``G = X^T X``, ``B = I - P diag(1 / P_jj)``.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg, sparse
from torch import Tensor

from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.models.base import Recommender, multi_hot, row_sums

Floats = NDArray[np.float64]

BYTES_PER_PAIR = 12
"""Bytes that fitting EASE takes for every pair of items: a double to solve with, and the stored single."""

_BLOCK = 1024
"""Rows of an items x items array that are worked on at a time, so that nothing else of its size is made."""


class EASE(Recommender):
    """Scores ``x B`` with a full item x item matrix.

    Parameters
    ----------
    weights : ndarray, shape [items, items]
        The matrix ``B``.
    """

    weights: Tensor

    def __init__(self, weights: NDArray[np.floating]) -> None:
        super().__init__(len(weights))
        self.register_buffer("weights", torch.from_numpy(np.asarray(weights, np.float32)))

    def hidden(self, history: Tensor) -> Tensor:
        """Return the history as a binary vector, shape [batch, items]: EASE has no layer between."""
        return multi_hot(history, self.num_items)

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        return row_sums(self.weights, history)


def gram(interactions: Interactions, user_weights: NDArray[np.floating] | None = None) -> Floats:
    """Return ``sum over users of w_u x_u^T x_u``, shape [items, items]; every weight is 1 by default."""
    matrix = interactions.matrix(np.float64)
    weighted = matrix if user_weights is None else sparse.diags_array(np.asarray(user_weights, np.float64)) @ matrix
    users_of, out = sparse.csr_array(matrix.T), np.empty((interactions.num_items,) * 2)
    for rows in _blocks(len(out)):
        out[rows] = (users_of[rows] @ weighted).toarray()
    return out


def ease_weights(gram_matrix: Floats, l2: float) -> Floats:
    """Return EASE's matrix ``B`` for a Gram matrix, solved in double precision in the place of that matrix.

    Parameters
    ----------
    gram_matrix : ndarray of float64, shape [items, items]
        Symmetric and positive semi-definite. In C order it is overwritten: no second array of its size is made.
    l2 : float
        The ridge, in the units of the Gram matrix; positive.

    Returns
    -------
    ndarray of float64, shape [items, items]
        ``B``, its diagonal exactly 0.
    """
    inverse = _inverse(gram_matrix, l2)
    return _off_diagonal(inverse, 1 / np.diag(inverse))


def denoising_weights(gram_matrix: Floats, ridges: Floats) -> Floats:
    """Return ``(G + diag(ridges))^-1 G`` without its diagonal, solved in the place of ``G``.

    It is the linear autoencoder of histories from which items were dropped, where the ridge of an item grows with how
    often it is there: Steck, Autoencoders that don't overfit towards the identity, NeurIPS 2020, section 2.

    Parameters
    ----------
    gram_matrix : ndarray of float64, shape [items, items]
        Symmetric and positive semi-definite. In C order it is overwritten.
    ridges : ndarray, shape [items]
        In the units of the Gram matrix; positive.
    """
    return _off_diagonal(_inverse(gram_matrix, ridges), ridges)


def fit_ease(interactions: Interactions, l2: float, user_weights: NDArray[np.floating] | None = None) -> EASE:
    """Return EASE for a training set.

    Parameters
    ----------
    interactions : Interactions
        The training set.
    l2 : float
        The ridge; 200 to 1000 suits MovieLens with unweighted users.
    user_weights : ndarray, shape [users], optional
        Weight of every user in the Gram matrix, for example ``length ** -0.5``; ``l2`` keeps its meaning, so a smaller
        sum of weights wants a smaller ``l2``.
    """
    return EASE(ease_weights(gram(interactions, user_weights), l2))


def _inverse(gram_matrix: Floats, ridge: float | Floats) -> Floats:
    """Return the inverse of a Gram matrix with a ridge, in its place where it is in C order."""
    _check_ridge(np.min(ridge))
    matrix = np.require(gram_matrix, np.float64, ["C", "W"])
    np.einsum("ii->i", matrix)[:] += ridge
    _invert(matrix)
    return matrix


def _off_diagonal(inverse: Floats, stiffness: Floats) -> Floats:
    """Return ``-P diag(stiffness)`` with a diagonal of exactly 0, in the place of ``P``."""
    for rows in _blocks(len(inverse)):
        inverse[rows] *= -stiffness
    np.fill_diagonal(inverse, 0.0)
    return inverse


def _invert(matrix: Floats) -> None:
    """Put the inverse of a symmetric positive definite matrix in its place.

    LAPACK works in Fortran's order, in which a symmetric matrix is its own transpose: nothing is copied.
    """
    lower, info = linalg.lapack.dpotrf(matrix.T, lower=True, overwrite_a=True)
    if info:
        raise UserError("EASE's Gram matrix is not positive definite; raise l2")
    linalg.lapack.dpotri(lower, lower=True, overwrite_c=True)
    for rows in _blocks(len(matrix)):
        square = matrix[rows, rows]
        square[...] = np.triu(square) + np.triu(square, 1).T
        matrix[rows.stop :, rows] = matrix[rows, rows.stop :].T


def _blocks(items: int) -> Iterator[slice]:
    yield from (slice(start, min(start + _BLOCK, items)) for start in range(0, items, _BLOCK))


def _check_ridge(l2: float) -> None:
    if not l2 > 0:
        raise UserError(f"l2 of EASE is {l2}; it must be positive, 200 to 1000 suits MovieLens")
