"""A Gram matrix in factors, and the two closed forms on it: EASE as the teacher, its low-rank distillate.

With ``H = F^T F`` nothing of size items x items need exist: by Woodbury's identity, with ``s = ridge^-1/2`` and
``I + s^2 F F^T = L L^T``, the inverse of ``H + ridge I`` is ``s^2 (I - A^T A)`` with ``A = s L^-1 F``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, eigsh

from fedkd.models.ease import EASE, ease_weights
from fedkd.models.linear import LowRank
from fedkd.models.woodbury import WoodburyEASE

Floats = NDArray[np.floating]
Product = Callable[[NDArray[Any]], NDArray[Any]]

DENSE_ITEMS = 8192
"""Catalogues up to this size get items x items arrays (half a gigabyte each), larger ones the factored form."""

_COLUMNS = 4096


@dataclass(frozen=True)
class Gram:
    """The matrix ``F^T F``, symmetric and positive semi-definite.

    Attributes
    ----------
    factor : ndarray, shape [rank, items]
        ``F``.
    """

    factor: Floats

    @property
    def num_items(self) -> int:
        """Size of the catalogue."""
        return int(self.factor.shape[1])

    def dense(self) -> Floats:
        """Return the matrix itself, shape [items, items]."""
        return np.asarray(self.factor.T @ self.factor)

    def operator(self) -> LinearOperator:
        """Return the matrix as something to multiply vectors with, in single precision."""
        factor = self.factor.astype(np.float32, copy=False)

        def product(vector: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(factor.T @ (factor @ vector))

        return _operator(self.num_items, product, product)


def ease_teacher(gram: Gram, ridge: float, dense: bool | None = None) -> EASE | WoodburyEASE:
    """Return EASE for a Gram matrix: items x items where the catalogue is small, in factors where it is not.

    Parameters
    ----------
    gram : Gram
        Histories that the teacher learns from.
    ridge : float
        Added to the diagonal, in the units of the Gram matrix; positive.
    dense : bool, optional
        Whether to use the items x items form; chosen by the number of items without it. Both give the same scores.
    """
    if gram.num_items <= DENSE_ITEMS if dense is None else dense:
        return EASE(ease_weights(gram.dense(), ridge))
    scale = np.full(gram.num_items, ridge**-0.5)
    return WoodburyEASE(_root(gram.factor, scale), scale)


def low_rank_student(teacher: EASE | WoodburyEASE, gram: Gram, rank: int) -> LowRank:
    """Return the best student ``x A C^T`` of a rank: it minimises the teacher's error summed over the Gram matrix.

    Among all matrices of that rank, ``B V V^T`` with the first eigenvectors ``V`` of ``B^T H B`` is nearest to the
    teacher's ``B`` in the norm of ``H`` (Eckart and Young); so ``A = B V`` and ``C = V``.

    Parameters
    ----------
    teacher : EASE or WoodburyEASE
        The teacher, ``B``.
    gram : Gram
        The histories for which the student must agree with it, ``H``.
    rank : int
        Width of the student, less than the number of items.
    """
    weights = teacher_operator(teacher)
    start = np.ones(gram.num_items, np.float32)
    values, vectors = eigsh(weights.T @ gram.operator() @ weights, k=rank, v0=start)
    vectors = vectors[:, np.argsort(-values, kind="stable")]
    return LowRank.from_factors(weights @ vectors, vectors)


def teacher_operator(teacher: EASE | WoodburyEASE) -> LinearOperator:
    """Return the teacher's matrix ``B`` as something to multiply vectors with, from either side."""
    if isinstance(teacher, EASE):
        weights = teacher.weights.numpy()
        return _operator(len(weights), lambda v: weights @ v, lambda v: weights.T @ v)
    root, scale, stiffness = (t.numpy() for t in (teacher.root, teacher.scale, teacher.stiffness))

    def inverse(vector: NDArray[Any]) -> NDArray[Any]:
        scaled = scale * vector
        return np.asarray(scale * (scaled - root @ (root.T @ scaled)))

    return _operator(len(scale), lambda v: v - inverse(stiffness * v), lambda v: v - stiffness * inverse(v))


def _operator(size: int, product: Product, transposed: Product) -> LinearOperator:
    return LinearOperator((size, size), matvec=_flat(product), rmatvec=_flat(transposed), dtype=np.float32)


def _flat(product: Product) -> Product:
    def flat(vector: NDArray[Any]) -> NDArray[Any]:
        return product(vector.reshape(-1).astype(np.float32, copy=False))

    return flat


def _root(factor: Floats, scale: NDArray[Any]) -> NDArray[np.float32]:
    """Return ``L^-1 F diag(s)``, a block of columns at a time."""
    inner = (factor * np.square(scale)) @ factor.T
    lower = linalg.cholesky(inner + np.eye(len(inner)), lower=True)
    out = np.empty(factor.shape, np.float32)
    for start in range(0, factor.shape[1], _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        out[:, columns] = linalg.solve_triangular(lower, factor[:, columns] * scale[columns], lower=True)
    return out
