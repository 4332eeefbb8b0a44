"""Statistics of pairs of items, of which a public list of numbers is asked for, or all of them.

A statistic is a symmetric matrix over *inputs* (the items, or the items at several decays) and, where there are
targets, a matrix of inputs x items beside it. A user's numbers are whole, and almost all of them are zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.messages.types import SparseUpdate
from fedkd.ragged import Ragged

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_USERS = 256


@dataclass(frozen=True)
class Layout:
    """The matrix whose numbers are asked for, shape [inputs, inputs (+ items)]; input ``d * items + i`` is an item.

    Attributes
    ----------
    num_items : int
        Size of the catalogue.
    decays : int
        Inputs of every item.
    targets : bool
        Whether there are columns of targets behind those of the inputs.
    """

    num_items: int
    decays: int = 1
    targets: bool = False

    @property
    def inputs(self) -> int:
        """Number of rows."""
        return self.num_items * self.decays

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.inputs + self.num_items * self.targets

    @property
    def kinds(self) -> int:
        """The number of values for an ordered pair of items."""
        return self.decays * (self.decays + self.targets)

    @property
    def size(self) -> int:
        """The number of values: the upper triangle of the inputs, and all targets."""
        return self.inputs * (self.inputs + 1) // 2 + self.inputs * self.num_items * self.targets

    def places(self, older: Ints, newer: Ints, kind: int) -> tuple[Ints, Ints]:
        """Return row and column of the numbers of a kind of ordered pairs of items, shape [pairs] each."""
        first, second = divmod(kind, self.decays + self.targets)
        row, column = first * self.num_items + older, second * self.num_items + newer
        if second == self.decays:
            return row, column
        return np.minimum(row, column), np.maximum(row, column)


class Coordinates(Protocol):
    """Numbers of a layout in the order of an answer."""

    @property
    def layout(self) -> Layout:
        """The matrix."""

    @property
    def count(self) -> int:
        """The number of values."""

    def of(self, older: Ints, newer: Ints) -> Ints:
        """Return positions in an answer, or -1, for ordered pairs of items, shape [pairs, kinds]."""

    def matrix(self, values: NDArray[Any], units: Floats) -> Any:
        """Return an answer's numbers times their units at their places, shape [inputs, width].

        The lower triangle of the inputs stays empty.
        """


@dataclass(frozen=True)
class Everything:
    """All numbers of a layout: the upper triangle row by row, then the targets."""

    layout: Layout

    @property
    def count(self) -> int:
        """The number of values."""
        return self.layout.size

    def of(self, older: Ints, newer: Ints) -> Ints:
        """Return positions in an answer, shape [pairs, kinds]."""
        inputs, columns = self.layout.inputs, []
        for kind in range(self.layout.kinds):
            row, column = self.layout.places(older, newer, kind)
            inside = row * (2 * inputs - row - 1) // 2 + column
            beyond = inputs * (inputs + 1) // 2 + row * self.layout.num_items + column - inputs
            columns.append(np.where(column < inputs, inside, beyond))
        return np.stack(columns, axis=1)

    def matrix(self, values: NDArray[Any], units: Floats) -> NDArray[np.float32]:
        """Return an answer's numbers times their units, an array of shape [inputs, width]."""
        inputs, items = self.layout.inputs, self.layout.num_items
        out, scale = np.zeros((inputs, self.layout.width), np.float32), np.repeat(units, items, axis=1)
        ends = np.cumsum(np.arange(inputs, 0, -1))
        for row, end in enumerate(ends):
            out[row, row:inputs] = values[end - (inputs - row) : end]
        out[:, inputs:] = values[ends[-1] :].reshape(inputs, -1) if self.layout.targets else 0
        for decay in range(self.layout.decays):
            out[decay * items : (decay + 1) * items] *= scale[decay]
        return out


@dataclass(frozen=True)
class Chosen:
    """Some numbers of a layout, by row and then by column.

    Attributes
    ----------
    layout : Layout
        The matrix.
    columns : Ragged of int32
        Columns of every row, ascending.
    """

    layout: Layout
    columns: Ragged

    @property
    def count(self) -> int:
        """The number of values."""
        return len(self.columns.values)

    def of(self, older: Ints, newer: Ints) -> Ints:
        """Return positions in an answer, or -1, shape [pairs, kinds]."""
        keys, table = self._table
        if not len(keys):
            return np.full((len(older), self.layout.kinds), -1)
        wanted = older * self.layout.num_items + newer
        found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where((keys[found] == wanted)[:, None], table[found], -1)

    def matrix(self, values: NDArray[Any], units: Floats) -> sparse.csr_array:
        """Return an answer's numbers times their units, shape [inputs, width]."""
        scaled = np.asarray(values * self.units(units), np.float32)
        shape = (self.layout.inputs, self.layout.width)
        return sparse.csr_array((scaled, self.columns.values, self.columns.indptr), shape=shape)

    def units(self, units: Floats) -> Floats:
        """Return the unit of every number, shape [numbers], where they are given by decay of row and of column."""
        first, second = self.columns.row_index // self.layout.num_items, self.columns.values // self.layout.num_items
        return np.asarray(units[first, second])

    @cached_property
    def _table(self) -> tuple[Ints, NDArray[np.int32]]:
        """Return the ordered pairs of items with a number on the list, and their positions, -1 for others."""
        items, kinds = self.layout.num_items, self.layout.decays + self.layout.targets
        first, older = np.divmod(self.columns.row_index, items)
        second, newer = np.divmod(self.columns.values.astype(np.int64), items)
        back = second < self.layout.decays  # inputs are met in both orders
        pairs = np.concatenate([older * items + newer, (newer * items + older)[back]])
        kind = np.concatenate([first * kinds + second, (second * kinds + first)[back]])
        position = np.arange(self.count, dtype=np.int32)
        keys, row = np.unique(pairs, return_inverse=True)
        table = np.full((len(keys), self.layout.kinds), -1, np.int32)
        table[row, kind] = np.concatenate([position, position[back]])
        return keys, table


class Statistic(Protocol):
    """The rule by which a history becomes numbers."""

    @property
    def levels(self) -> int:
        """Largest whole number of one user."""

    def layout(self, num_items: int) -> Layout:
        """Return the places of the numbers."""

    def lags(self, longest: int) -> int:
        """Return how many lags between two items of a history count."""

    def numbers(self, lag: int, later: Ints, lengths: Ints) -> Ints:
        """Return the whole numbers of ordered pairs of items, shape [pairs, kinds]."""

    def units(self) -> Floats:
        """Return the value of 1 by decay of row and of column, the target last."""


def contributions(histories: Ragged, statistic: Statistic, coordinates: Coordinates) -> SparseUpdate:
    """Return every user's numbers, as if each were a client.

    Parameters
    ----------
    histories : Ragged of int32
        One row of item positions a user, oldest first, each item once.
    statistic : Statistic
        The rule.
    coordinates : Coordinates
        What is asked for.
    """
    parts = [(np.zeros(0, np.int64),) * 3]
    for owner, older, newer, numbers in _ordered_pairs(histories, statistic):
        position = coordinates.of(older, newer)
        for kind in range(numbers.shape[1]):
            kept = np.flatnonzero((numbers[:, kind] != 0) & (position[:, kind] >= 0))
            parts.append((position[kept, kind], numbers[kept, kind], owner[kept]))
    position, value, owner = (np.concatenate(part) for part in zip(*parts, strict=True))
    return SparseUpdate(position, value, owner, coordinates.count)


def _ordered_pairs(histories: Ragged, statistic: Statistic) -> Iterator[tuple[Ints, Ints, Ints, Ints]]:
    """Yield, lag by lag, the owner, the older and the newer item of pairs, and their numbers of all kinds."""
    lengths, owner = histories.lengths, histories.row_index
    later = np.repeat(histories.indptr[1:], lengths) - np.arange(len(owner)) - 1
    items = histories.values.astype(np.int64)
    for lag in range(statistic.lags(int(lengths.max(initial=0)))):
        start = np.flatnonzero(later >= lag)
        numbers = statistic.numbers(lag, later[start] - lag, lengths[owner[start]])
        yield owner[start], items[start], items[start + lag], numbers


def known_pairs(histories: Ragged, statistic: Statistic, num_items: int) -> sparse.csr_array:
    """Return the statistic of some users in its units, shape [inputs, width]; the lower triangle is empty."""
    layout = statistic.layout(num_items)
    parts = [_known(histories.take(np.zeros(0, np.int64)), statistic, layout)]
    for start in range(0, len(histories), _USERS):
        some = np.arange(start, min(len(histories), start + _USERS))
        parts.append(_known(histories.take(some), statistic, layout))
        while len(parts) > 1 and parts[-2].nnz < 2 * parts[-1].nnz:  # so each number is added few times
            parts[-2:] = [sparse.csr_array(parts[-2] + parts[-1])]
    total = sparse.csr_array(sum(reversed(parts[:-1]), parts[-1]))
    total.eliminate_zeros()
    return total


def _known(histories: Ragged, statistic: Statistic, layout: Layout) -> sparse.csr_array:
    units = statistic.units().reshape(-1)
    rows, columns, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for _, older, newer, numbers in _ordered_pairs(histories, statistic):
        for kind in np.flatnonzero(numbers.any(axis=0)).tolist():
            row, column = layout.places(older, newer, kind)
            rows.append(row)
            columns.append(column)
            values.append(np.float32(units[kind]) * numbers[:, kind].astype(np.float32))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(sparse.coo_array(entries, shape=(layout.inputs, layout.width)))
