"""The choice of the numbers worth asking for: those that public users make likely to be large.

A number is guessed from what public users show of it, half as it is, half through the others: the low-rank part of
their matrix, each entry over the root of its row's and its column's sum, knows of pairs that no public user has. For
each of the two matrices of a statistic, that of inputs and that of targets, the largest guesses are listed.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from fedkd.distillation.pair_lists import Chosen, Layout
from fedkd.ragged import Ragged, offsets

Floats = NDArray[np.float32]

RANK = 96
"""Rank of the part that knows of unseen pairs; chosen on validation."""

POWER_STEPS = 2
"""Steps of the iteration that finds that part."""

ROUNDING = 1e-5
"""Guesses below are zero but for rounding."""

_BLOCK = 1 << 24


def likely_pairs(known: sparse.csr_array, layout: Layout, count: int) -> Chosen:
    """Return the numbers with the largest guesses, half of them of targets where there are targets.

    Parameters
    ----------
    known : sparse csr array, shape [inputs, width]
        What public users show: the upper triangle of the inputs, then the targets.
    layout : Layout
        The matrix.
    count : int
        How many numbers; fewer where fewer can be guessed.
    """
    inputs = known[:, : layout.inputs]
    upper = _keys(_largest(symmetric(inputs), count // (1 + layout.targets), upper=True), 0, layout)
    beside = _likely_targets(known, layout, count - len(upper)) if layout.targets else upper[:0]
    return _chosen(np.concatenate([upper, beside]), layout)


def likely_targets(known: sparse.csr_array, layout: Layout, count: int) -> Chosen:
    """Return the numbers of targets alone with the largest guesses; see ``likely_pairs``."""
    return _chosen(_likely_targets(known, layout, count), layout)


def _likely_targets(known: sparse.csr_array, layout: Layout, count: int) -> NDArray[np.int64]:
    largest = _largest(sparse.csr_array(known[:, layout.inputs :]), count, upper=False)
    return _keys(largest, layout.inputs, layout)


def _chosen(keys: NDArray[np.int64], layout: Layout) -> Chosen:
    rows, columns = np.divmod(np.sort(keys), layout.width)
    return Chosen(layout, Ragged(columns.astype(np.int32), offsets(np.bincount(rows, minlength=layout.inputs))))


def symmetric(upper: sparse.csr_array) -> sparse.csr_array:
    """Return the symmetric matrix with a given upper triangle."""
    return sparse.csr_array(upper + sparse.triu(upper, 1).T)


def _keys(places: tuple[NDArray[np.int64], NDArray[np.int64]], shift: int, layout: Layout) -> NDArray[np.int64]:
    rows, columns = places
    return rows * layout.width + columns + shift


def _largest(known: sparse.csr_array, count: int, upper: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the largest positive guesses, a block of rows at a time."""
    left, right = _unseen(known)
    size, width = known.shape
    best = _Best(count)
    step = max(1, _BLOCK // width)
    for start in range(0, size if left.shape[1] else 0, step):
        begin = start if upper else 0  # what lies before the diagonal is not asked for
        guess = np.maximum(left[start : start + step] @ right[begin:].T, 0)
        shown = sparse.coo_array(known[start : start + step, begin:])
        guess[shown.row, shown.col] += shown.data
        if upper:
            square = guess[:, : len(guess)]
            square[...] = np.triu(square)
        new = np.flatnonzero(guess > best.edge)
        rows, columns = np.divmod(new, guess.shape[1])
        best.add((rows + start) * width + columns + begin, guess.reshape(-1)[new])
    rows, columns = np.divmod(best.places(), width)
    return rows, columns


class _Best:
    """The places of the largest guesses so far; of equal ones, those that came first.

    Parameters
    ----------
    count : int
        How many are kept.

    Attributes
    ----------
    edge : float
        What a guess must exceed.
    """

    def __init__(self, count: int) -> None:
        self._count, self.edge = count, np.float32(ROUNDING)
        self._places, self._guesses = np.zeros(0, np.int64), np.zeros(0, np.float32)

    def add(self, places: NDArray[np.int64], guesses: Floats) -> None:
        """Take in more guesses; they are sorted when enough of them have come together."""
        self._places, self._guesses = np.append(self._places, places), np.append(self._guesses, guesses)
        if len(self._guesses) > 2 * self._count:
            self._cut()

    def places(self) -> NDArray[np.int64]:
        """Return the places, those of the largest guesses first."""
        self._cut()
        return self._places

    def _cut(self) -> None:
        best = np.argsort(-self._guesses, kind="stable")[: self._count]
        self._places, self._guesses = self._places[best], self._guesses[best]
        if self._count == len(best) > 0:
            self.edge = self._guesses[-1]


def _unseen(known: sparse.csr_array) -> tuple[Floats, Floats]:
    """Return factors of the low-rank part in the units of the matrix, shapes [rows, rank] and [columns, rank]."""
    roots = [np.sqrt(np.asarray(known.sum(axis=axis), np.float32).reshape(-1)) for axis in (1, 0)]
    inverse = [sparse.diags_array(np.divide(1, root, out=np.zeros_like(root), where=root > 0)) for root in roots]
    rank = min(RANK, min(known.shape) // 3)  # a higher one would repeat what is known
    left, scale, right = _strongest(sparse.csr_array(inverse[0] @ known.astype(np.float32) @ inverse[1]), rank)
    return roots[0][:, None] * left * scale, roots[1][:, None] * right.T


def _strongest(matrix: sparse.csr_array, rank: int) -> tuple[Floats, Floats, Floats]:
    """Return the largest singular values and their vectors, always the same ones for the same matrix.

    Halko, Martinsson & Tropp, Finding structure with randomness (SIAM Review 2011), algorithm 4.4.
    """
    sample = matrix @ np.random.default_rng(0).standard_normal((matrix.shape[1], rank + rank // 4)).astype(np.float32)
    for _ in range(POWER_STEPS):
        sample = matrix @ linalg.qr(matrix.T @ linalg.qr(sample, mode="economic")[0], mode="economic")[0]
    basis = linalg.qr(sample, mode="economic")[0]
    left, scale, right = linalg.svd((matrix.T @ basis).T, full_matrices=False)
    return (basis @ left)[:, :rank], scale[:rank], right[:rank]
