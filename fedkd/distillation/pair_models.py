"""Teachers and students from statistics of pairs: one solve for a small catalogue, else one small ridge an item."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg, sparse

from fedkd.distillation.likely_pairs import symmetric
from fedkd.distillation.pair_lists import Layout
from fedkd.models.decayed_linear import DecayedLinear, SparseDecayed
from fedkd.models.threads import limited_threads
from fedkd.models.watching import watched

DENSE_INPUTS = 12_288
"""Statistics of at most this many inputs are solved at once, in arrays of inputs x inputs."""

FREQUENT_INPUTS = 12_288
"""Inputs of a large catalogue whose statistics are kept as an array of inputs x inputs, 604 MB."""

BYTES_PER_NUMBER = 111
"""Memory of a large catalogue's statistic and of what is made of it, over the most numbers that it can have; measured
on 30,000 users of 41,000 items."""

NEIGHBOURS = 400
"""Most inputs from which the score of an item of a large catalogue is made."""


_ITEMS = 256
"""Items that a thread solves at a time."""


@dataclass(frozen=True)
class PairSums:
    """The sums of a statistic over users, in its own units.

    Attributes
    ----------
    layout : Layout
        The matrix.
    matrix : sparse csr array or ndarray, shape [inputs, width]
        The upper triangle of the inputs, then the targets.
    """

    layout: Layout
    matrix: Any

    @cached_property
    def inputs(self) -> Any:
        """The symmetric matrix of the inputs, an array where the sums are one."""
        upper = self.matrix[:, : self.layout.inputs]
        return upper + np.triu(upper, 1).T if isinstance(upper, np.ndarray) else symmetric(sparse.csr_array(upper))

    @cached_property
    def targets(self) -> sparse.csr_array:
        """The matrix to predict, shape [inputs, items]: without targets, the inputs' own without its diagonal."""
        if self.layout.targets:
            return sparse.csr_array(self.matrix[:, self.layout.inputs :])
        return sparse.csr_array(sparse.csr_array(self.inputs) - sparse.diags_array(self.inputs.diagonal()))

    def targets_at(self, rows: NDArray[np.int32], columns: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return numbers of the matrix to predict, which are not those of its diagonal where there are no targets."""
        whole = self.matrix if isinstance(self.matrix, np.ndarray) else sparse.csr_array(self.matrix)
        if self.layout.targets:
            return np.asarray(whole[rows, columns + self.layout.inputs], np.float64).ravel()
        return np.asarray(whole[np.minimum(rows, columns), np.maximum(rows, columns)], np.float64).ravel()

    def diagonal(self) -> NDArray[np.float64]:
        """Return how often every input is there, shape [inputs]."""
        return np.asarray(self.matrix.diagonal(), np.float64)[: self.layout.inputs]

    def had(self) -> NDArray[np.bool_]:
        """Return the items of which there are any numbers, shape [items]."""
        there = np.asarray(self.matrix.sum(axis=0) > 0).reshape(-1, self.layout.num_items)
        return np.asarray(there.any(axis=0))

    def dense(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the matrices of the inputs and of the targets as arrays."""
        inputs, targets = self.inputs, self.matrix[:, self.layout.inputs :]
        if not isinstance(inputs, np.ndarray):
            inputs, targets = inputs.toarray(), targets.toarray()
        return np.asarray(inputs, np.float32), np.array(targets, np.float32)


def large_bytes(numbers: float) -> int:
    """Return about the memory in which teacher and student of a large catalogue are made of so many numbers."""
    return int(4 * FREQUENT_INPUTS**2 + BYTES_PER_NUMBER * numbers)


def pair_teacher(sums: PairSums, ridge: float, rates: NDArray[np.float64]) -> DecayedLinear | SparseDecayed:
    """Return ``(G + ridge I)^-1 K``, of every item over its own neighbours alone where the catalogue is large.

    Parameters
    ----------
    sums : PairSums
        ``G`` and ``K``.
    ridge : float
        Positive, in the units of ``G``.
    rates : ndarray, shape [decays]
        The decays of the inputs, of which the model makes its own.
    """
    return _solved_teacher(sums, ridge, rates)[0]


def teacher_and_student(
    sums: PairSums, ridge: float, rates: NDArray[np.float64], weights: int
) -> tuple[DecayedLinear | SparseDecayed, SparseDecayed]:
    """Return the teacher, and its sparse student of at most so many weights."""
    teacher, taken = _solved_teacher(sums, ridge, rates)
    return teacher, sparse_student(teacher, sums, weights, taken)


def _solved_teacher(
    sums: PairSums, ridge: float, rates: NDArray[np.float64]
) -> tuple[DecayedLinear | SparseDecayed, float]:
    """Return the teacher, and the ridge that it took."""
    if sums.layout.inputs > DENSE_INPUTS or not sums.layout.targets:
        return SparseDecayed(neighbour_weights(sums.inputs, sums.targets, ridge), rates), ridge
    inputs, targets = sums.dense()
    factor, taken = _factor(inputs, ridge)
    return DecayedLinear(linalg.cho_solve(factor, targets, overwrite_b=True, check_finite=False), rates), taken


def _factor(matrix: NDArray[np.float32], ridge: float) -> tuple[tuple[NDArray[np.float32], bool], float]:
    """Return the Cholesky factor of a matrix with the ridge, doubled until there is one, and the ridge.

    Sums on a list beside guesses elsewhere need not belong to any users, so they may have negative eigenvalues.
    """
    raised = matrix.copy()
    raised[np.diag_indices(len(matrix))] += ridge
    try:
        return linalg.cho_factor(raised, overwrite_a=True, check_finite=False), ridge
    except linalg.LinAlgError:
        return _factor(matrix, 2 * ridge)


def neighbour_weights(inputs: Any, targets: Any, ridge: float, most: int = NEIGHBOURS) -> sparse.csr_array:
    """Return weights whose column ``j`` solves ``(G[S, S] + ridge I) b = K[S, j]`` over the largest of ``K``'s column.

    Items are solved on as many threads as torch may use; the result does not depend on how many these are.

    Parameters
    ----------
    inputs : sparse csr array or ndarray, shape [inputs, inputs]
        ``G``, symmetric.
    targets : sparse array, shape [inputs, items]
        ``K`` where it is stored, zeros among it included.
    ridge : float
        Positive.
    most : int
        At most so many inputs of every column count.
    """
    columns, items = sparse.csc_array(targets), targets.shape[1]
    solve = partial(_solved, _Blocks(inputs), columns, ridge, most)
    with limited_threads(1), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        pieces = [range(start, min(items, start + _ITEMS)) for start in range(0, items, _ITEMS)]
        parts = list(watched(pool.map(solve, pieces), len(pieces), "weights of neighbours"))
    rows, values, counts = (np.concatenate(part) for part in zip(*parts, strict=True))
    return sparse.csr_array((values, (rows, np.repeat(np.arange(items), counts))), shape=targets.shape)


def _solved(
    inputs: "_Blocks", columns: sparse.csc_array, ridge: float, most: int, items: range
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Return the inputs and the weights of some items one after the other, and how many each has."""
    rows, values, column = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)], np.full(inputs.matrix.shape[0], -1)
    for item in items:
        own = slice(columns.indptr[item], columns.indptr[item + 1])
        best = np.argsort(-columns.data[own], kind="stable")[:most]
        near = columns.indices[own][best].astype(np.int64)
        rows.append(near)
        values.append(_ridge_solution(inputs.of(near, column), columns.data[own][best].astype(np.float32), ridge))
    return np.concatenate(rows), np.concatenate(values), np.array([len(part) for part in rows[1:]])


def _ridge_solution(block: NDArray[np.float32], wanted: NDArray[np.float32], ridge: float) -> NDArray[np.float32]:
    """Return ``(block + ridge I)^-1 wanted``, of a block that need not be positive definite."""
    if not len(wanted):
        return wanted
    block[np.diag_indices(len(block))] += ridge
    _, solution, failed = linalg.lapack.sposv(block, wanted)
    if failed:
        return np.asarray(linalg.solve(block, wanted, assume_a="sym", check_finite=False), np.float32)
    return np.asarray(solution.reshape(-1), np.float32)


class _Blocks:
    """Rows and columns of some inputs out of a large symmetric matrix, for one solve after the other.

    Frequent inputs have long rows and are in most blocks, so they are kept as an array; those of the others are short.

    Parameters
    ----------
    matrix : sparse csr array or ndarray, shape [inputs, inputs]
        Symmetric to the last bit. Of an array, every input is frequent.
    """

    def __init__(self, matrix: sparse.csr_array | NDArray[Any]) -> None:
        self.place = np.full(matrix.shape[0], -1)
        if isinstance(matrix, np.ndarray):
            frequent = np.arange(len(matrix))
            self.matrix: Any = sparse.csr_array((len(matrix), len(matrix)), dtype=np.float32)
            self.frequent = matrix.astype(np.float32, copy=False)
        else:
            self.matrix = matrix.astype(np.float32, copy=False)
            frequent = np.sort(np.argsort(-np.diff(matrix.indptr), kind="stable")[:FREQUENT_INPUTS])
            self.frequent = self.matrix[frequent][:, frequent].toarray()
        self.place[frequent] = np.arange(len(frequent))

    def of(self, chosen: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the block of some inputs, shape [chosen, chosen]; ``column`` is -1 everywhere, before and after."""
        out, place = np.zeros((len(chosen), len(chosen)), np.float32), self.place[chosen]
        often, seldom = np.flatnonzero(place >= 0), np.flatnonzero(place < 0)
        out[often[:, None], often] = self.frequent[place[often][:, None], place[often]]
        rows = self.matrix[chosen[seldom]]
        column[chosen] = np.arange(len(chosen))
        there = column[rows.indices]
        column[chosen] = -1
        kept = np.flatnonzero(there >= 0)
        here, there = np.repeat(seldom, np.diff(rows.indptr))[kept], there[kept]
        out[here, there] = out[there, here] = rows.data[kept]
        return out


def sparse_student(teacher: DecayedLinear | SparseDecayed, sums: PairSums, weights: int, ridge: float) -> SparseDecayed:
    """Return the best model whose weights stand where those of the teacher's stand that matter most.

    Each item's weights are solved for again, over the inputs that it keeps: they take over what the others said.

    Parameters
    ----------
    teacher : DecayedLinear or SparseDecayed
        The teacher.
    sums : PairSums
        What the teacher learnt from.
    weights : int
        How many; at least 1.
    ridge : float
        Positive, in the units of ``G``.
    """
    places = sparse.coo_array(most_important(teacher, sums, weights))
    wanted = sums.targets_at(places.row, places.col)
    kept = sparse.csc_array((wanted, (places.row, places.col)), shape=places.shape)
    return SparseDecayed(neighbour_weights(sums.inputs, kept, ridge, most=len(sums.diagonal())), teacher.rates.numpy())


def most_important(teacher: DecayedLinear | SparseDecayed, sums: PairSums, weights: int) -> sparse.csr_array:
    """Return those of a teacher's weights alone that matter most, shape [inputs, items].

    A weight matters as much as its size times the fourth root of how often its input is there, ``G_ii^(1/4)``: on
    validation better than its size alone, than the root, and than the same number of weights in every row.
    """
    full = _matrix(teacher)
    often = np.maximum(sums.diagonal(), 0) ** 0.25
    values = np.abs(full.data) * np.repeat(often, np.diff(full.indptr))
    kept = values >= np.partition(values, -weights)[-weights] if weights < len(values) else values > 0
    rows = np.repeat(np.arange(full.shape[0]), np.diff(full.indptr))[kept]
    return sparse.csr_array((full.data[kept], (rows, full.indices[kept])), shape=full.shape)


def _matrix(teacher: DecayedLinear | SparseDecayed) -> sparse.csr_array:
    return sparse.csr_array(teacher.weights.numpy()) if isinstance(teacher, DecayedLinear) else teacher.matrix()
