"""A Gram matrix in factors, and closed forms on it: EASE or a denoising one as the teacher, its low-rank distillate.

With ``H = F^T F + diag(d)`` nothing of size items x items need exist: by Woodbury's identity, with
``s = (d + ridge)^-1/2`` and ``I + F diag(s^2) F^T = L L^T``, the inverse of ``H + ridge I`` is
``diag(s) (I - A^T A) diag(s)`` with ``A = L^-1 F diag(s)``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, eigsh

from fedkd.data.interactions import Interactions
from fedkd.models.ease import EASE, denoising_weights, ease_weights
from fedkd.models.linear import LowRank
from fedkd.models.watching import watched
from fedkd.models.woodbury import WoodburyEASE

Floats = NDArray[np.floating]
Product = Callable[[NDArray[Any]], NDArray[Any]]
LinearTeacher = EASE | WoodburyEASE

DENSE_BYTES = 2**29
"""Items x items arrays of doubles up to this size are made for a teacher; beyond it comes the factored form."""

FACTOR_BYTES = 2**31
"""Histories up to this size as dense rows of doubles are their own factor; more are compressed."""

RANK = 512
"""Rows of a compressed factor."""

_COLUMNS = 4096
_SPARE, _PASSES = 64, 4


@dataclass(frozen=True)
class Gram:
    """The matrix ``F^T F + diag(d)``, symmetric and positive semi-definite.

    Attributes
    ----------
    factor : ndarray, shape [rank, items]
        ``F``.
    rest : ndarray, shape [items], optional
        ``d``, not negative; none by default.
    """

    factor: Floats
    rest: Floats | None = None

    @classmethod
    def of_histories(cls, rows: sparse.csr_array, rank: int = RANK) -> "Gram":
        """Return the matrix ``X^T X`` of sparse rows, exact where they are small, else compressed.

        A compressed matrix keeps the ``rank`` strongest directions, and what they leave of the diagonal. So items keep
        their popularity, and what is lost are weak relations between different items.

        Parameters
        ----------
        rows : sparse array, shape [users, items]
            Histories, each times the root of its user's weight.
        rank : int
            Directions that are kept.
        """
        if not is_compressed(*rows.shape, rank):
            return cls(np.asarray(rows.todense()))
        factor = _leading(rows.astype(np.float32), rank)
        whole = np.asarray(rows.power(2).sum(axis=0)).ravel()
        return cls(factor, np.maximum(whole - np.einsum("ij,ij->j", factor, factor), 0.0))

    @property
    def num_items(self) -> int:
        """Size of the catalogue."""
        return int(self.factor.shape[1])

    def diagonal(self) -> Floats:
        """Return how often every item is there, shape [items]."""
        whole = np.einsum("ij,ij->j", self.factor, self.factor)
        return np.asarray(whole if self.rest is None else whole + self.rest)

    def dense(self) -> Floats:
        """Return the matrix itself, shape [items, items]."""
        whole = np.asarray(self.factor.T @ self.factor)
        return whole if self.rest is None else whole + np.diag(self.rest)

    def operator(self) -> LinearOperator:
        """Return the matrix as something to multiply vectors with, in single precision."""
        factor = self.factor.astype(np.float32, copy=False)

        def product(vector: NDArray[Any]) -> NDArray[Any]:
            whole = np.asarray(factor.T @ (factor @ vector))
            return whole if self.rest is None else whole + self.rest.astype(np.float32) * vector

        return _operator(self.num_items, product, product)


def ease_teacher(gram: Gram, ridge: float, dense: bool | None = None) -> LinearTeacher:
    """Return EASE for a Gram matrix: items x items where the catalogue is small, in factors where it is not.

    Parameters
    ----------
    gram : Gram
        Histories that the teacher learns from.
    ridge : float
        Added to the diagonal, in the units of the Gram matrix; positive.
    dense : bool, optional
        Whether to use the items x items form; chosen by its size without it. Both give the same scores.
    """
    if is_dense(gram.num_items) if dense is None else dense:
        return EASE(ease_weights(np.asarray(gram.dense(), np.float64), ridge))
    return _factored(gram, ridge)


def denoising_teacher(gram: Gram, ridge: float, dropout: float, dense: bool | None = None) -> LinearTeacher:
    """Return the linear autoencoder of histories from which items were dropped, the diagonal of its weights 0.

    What an item says of others is trusted the less the more often it is there, over what EASE's ridge does: noise on
    a sum over many users moves the relations of frequent items most.

    Parameters
    ----------
    gram : Gram
        Histories that the teacher learns from.
    ridge : float
        Added to the diagonal, in the units of the Gram matrix; positive.
    dropout : float
        Share of the items that are dropped, at least 0 and less than 1.
    dense : bool, optional
        As for `ease_teacher`.
    """
    ridges = np.asarray(ridge + dropout / (1 - dropout) * gram.diagonal(), np.float64)
    if is_dense(gram.num_items) if dense is None else dense:
        return EASE(denoising_weights(np.asarray(gram.dense(), np.float64), ridges))
    return _factored(gram, ridges, ridges)


def _factored(gram: Gram, ridge: float | Floats, stiffness: Floats | None = None) -> WoodburyEASE:
    """Return the teacher in factors; a ridge for every item, or one for all."""
    scale = (np.zeros(gram.num_items) if gram.rest is None else gram.rest) + ridge
    scale **= -0.5
    return WoodburyEASE(_root(gram.factor, scale), scale, stiffness)


def is_compressed(users: int, items: int, rank: int = RANK) -> bool:
    """Return whether the Gram matrix of so many histories is compressed."""
    return 8 * users * items > FACTOR_BYTES and min(users, items) > rank + _SPARE


def weighted_gram(users: Interactions, weights: NDArray[Any]) -> Gram:
    """Return the Gram matrix of users' histories, each times its weight, shape [users]."""
    return Gram.of_histories(sparse.csr_array(users.matrix(np.float64).multiply(np.sqrt(weights)[:, None])))


def is_dense(items: int) -> bool:
    """Return whether a catalogue is small enough for a teacher with items x items numbers."""
    return 8 * items**2 <= DENSE_BYTES


def low_rank_student(teacher: LinearTeacher, gram: Gram, rank: int) -> LowRank:
    """Return the best student ``x A C^T`` of a rank: it minimises the teacher's error summed over the Gram matrix.

    Among all matrices of that rank, ``B V V^T`` with the first eigenvectors ``V`` of ``B^T H B`` is nearest to the
    teacher's ``B`` in the norm of ``H`` (Eckart and Young); so ``A = B V`` and ``C = V``.

    Parameters
    ----------
    teacher : EASE or WoodburyEASE
        The teacher, ``B``.
    gram : Gram
        The histories for which the student must agree with it, ``H``; in the factored form its factor alone counts.
    rank : int
        Width of the student, less than the number of items.
    """
    weights = teacher_operator(teacher)
    if isinstance(teacher, WoodburyEASE):
        vectors = _right_singular(_taught(gram.factor.astype(np.float32), teacher), rank)
    else:
        start = np.ones(gram.num_items, np.float32)
        values, vectors = eigsh(weights.T @ gram.operator() @ weights, k=rank, v0=start)
        vectors = vectors[:, np.argsort(-values, kind="stable")]
    return LowRank.from_factors(weights @ vectors, vectors)


def _taught(rows: NDArray[np.float32], teacher: WoodburyEASE) -> NDArray[np.float32]:
    """Return the teacher's scores ``F B`` of dense rows, shape [rank, items], in the place of a copy of them."""
    root, scale, stiffness, own = (t.numpy() for t in (teacher.root, teacher.scale, teacher.stiffness, teacher.own))
    scaled = rows * scale
    scaled -= (scaled @ root) @ root.T
    scaled *= scale * stiffness
    for row, taken in zip(rows, scaled, strict=True):  # a row at a time: a copy of all of them is large
        np.subtract(row * own, taken, out=taken)
    return np.asarray(scaled)


def _right_singular(rows: NDArray[np.float32], rank: int) -> NDArray[np.float32]:
    """Return the first right singular vectors of a wide matrix as columns, from the small matrix ``M M^T``."""
    size = len(rows)
    rank = min(rank, size)
    values, vectors = linalg.eigh(rows @ rows.T, subset_by_index=(size - rank, size - 1))
    found = rows.T @ (vectors[:, ::-1] / np.sqrt(np.maximum(values[::-1], np.finfo(np.float32).tiny)))
    return np.asarray(linalg.qr(found, mode="economic")[0])


def _leading(rows: sparse.csr_array, rank: int) -> NDArray[np.float32]:
    """Return ``F`` of a rank with ``F^T F`` near ``X^T X``, by iteration on a block of vectors.

    Halko, Martinsson & Tropp, Finding structure with randomness, SIAM Review 2011, algorithm 4.4. The start is fixed:
    the result must be the same in every run.
    """
    start = np.random.default_rng(0).standard_normal((rows.shape[0], rank + _SPARE), np.float32)
    columns = rows.T.tocsr()
    basis = columns @ start
    for _ in watched(range(_PASSES), _PASSES, "strongest directions of the histories"):
        basis = columns @ (rows @ linalg.qr(basis, mode="economic", overwrite_a=True, check_finite=False)[0])
    basis = linalg.qr(basis, mode="economic", overwrite_a=True, check_finite=False)[0]
    seen = rows @ basis
    values, vectors = linalg.eigh(seen.T @ seen)
    kept = slice(None, -rank - 1, -1)
    return np.asarray((vectors[:, kept] * np.sqrt(np.maximum(values[kept], 0.0))).T @ basis.T)


def teacher_operator(teacher: LinearTeacher) -> LinearOperator:
    """Return the teacher's matrix ``B`` as something to multiply vectors with, from either side."""
    if isinstance(teacher, EASE):
        weights = teacher.weights.numpy()
        return _operator(len(weights), lambda v: weights @ v, lambda v: weights.T @ v)
    root, scale, stiffness, own = (t.numpy() for t in (teacher.root, teacher.scale, teacher.stiffness, teacher.own))

    def inverse(vector: NDArray[Any]) -> NDArray[Any]:
        scaled = scale * vector
        return np.asarray(scale * (scaled - root @ (root.T @ scaled)))

    return _operator(len(scale), lambda v: own * v - inverse(stiffness * v), lambda v: own * v - stiffness * inverse(v))


def _operator(size: int, product: Product, transposed: Product) -> LinearOperator:
    return LinearOperator((size, size), matvec=_flat(product), rmatvec=_flat(transposed), dtype=np.float32)


def _flat(product: Product) -> Product:
    def flat(vector: NDArray[Any]) -> NDArray[Any]:
        return product(vector.reshape(-1).astype(np.float32, copy=False))

    return flat


def _root(factor: Floats, scale: NDArray[Any]) -> NDArray[np.float32]:
    """Return ``L^-1 F diag(s)``, a block of columns at a time."""
    inner = np.eye(len(factor))
    out = np.empty(factor.shape, np.float32)
    blocks = [slice(start, start + _COLUMNS) for start in range(0, factor.shape[1], _COLUMNS)]
    for columns in watched(blocks, len(blocks), "the teacher's matrix"):
        scaled = factor[:, columns] * scale[columns]
        inner += scaled @ scaled.T
    lower = linalg.cholesky(inner, lower=True, overwrite_a=True)
    for columns in watched(blocks, len(blocks), "the teacher's factor"):
        scaled = np.asarray(factor[:, columns] * scale[columns])
        out[:, columns] = linalg.solve_triangular(lower, scaled, lower=True, check_finite=False)
    return out
