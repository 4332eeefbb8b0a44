"""Ragged arrays: rows of different lengths in two flat arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths: row ``r`` is ``values[indptr[r]:indptr[r + 1]]``.

    Attributes
    ----------
    values : ndarray, shape [total, ...]
        All rows, one after the other.
    indptr : ndarray of int64, shape [rows + 1]
        Start of each row; the last entry is ``total``.
    """

    values: NDArray[Any]
    indptr: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.indptr.ndim != 1 or self.indptr.size == 0 or self.indptr[0] != 0:
            raise ValueError("indptr must be one-dimensional and begin with 0")
        if (self.lengths < 0).any() or self.indptr[-1] != len(self.values):
            raise ValueError(f"indptr must rise to len(values) = {len(self.values)}, it ends at {self.indptr[-1]}")

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[Any] | NDArray[Any]], dtype: Any) -> Self:
        """Join rows into one ragged array of ``dtype``."""
        arrays = [np.asarray(row, dtype) for row in rows]
        lengths = np.fromiter((len(array) for array in arrays), np.int64, len(arrays))
        values = np.concatenate(arrays) if arrays else np.zeros(0, dtype)
        return cls(values, offsets(lengths))

    @classmethod
    def concatenate(cls, parts: Sequence["Ragged"]) -> Self:
        """Return all rows of several ragged arrays, one array after the other."""
        values = np.concatenate([part.values for part in parts])
        return cls(values, offsets(np.concatenate([part.lengths for part in parts])))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, row: int) -> NDArray[Any]:
        return self.values[self.indptr[row] : self.indptr[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of every row, shape [rows]."""
        return self.indptr[1:] - self.indptr[:-1]  # ``np.diff`` takes ten times as long where rows are few

    @property
    def row_index(self) -> NDArray[np.int64]:
        """Row of every value, shape [total]."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    def take(self, rows: NDArray[np.int64]) -> "Ragged":
        """Return the chosen rows, in the order given."""
        lengths = self.lengths[rows]
        indptr = offsets(lengths)
        inside = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
        return Ragged(self.values[np.repeat(self.indptr[rows], lengths) + inside], indptr)

    def where(self, keep: NDArray[np.bool_]) -> "Ragged":
        """Return the rows with only the values for which ``keep`` (shape [total]) is true."""
        kept = np.bincount(self.row_index[keep], minlength=len(self))
        return Ragged(self.values[keep], offsets(kept))

    def matrix(self, columns: int, dtype: Any) -> sparse.csr_array:
        """Return rows of positions as a matrix with a 1 at every position, shape [rows, columns]."""
        return sparse.csr_array(
            (np.ones(len(self.values), dtype), self.values, self.indptr), shape=(len(self), columns)
        )

    def padded(self, pad: int, length: int | None = None) -> NDArray[Any]:
        """Return rows as one rectangle, padded on the left; longer rows keep their last values.

        Parameters
        ----------
        pad : int
            The value that fills.
        length : int, optional
            Columns; the longest row by default (at least 1).

        Returns
        -------
        ndarray, shape [rows, length]
        """
        width = max(1, int(self.lengths.max(initial=0))) if length is None else length
        out = np.full((len(self), width), pad, self.values.dtype)
        column = np.arange(len(self.values)) - np.repeat(self.indptr[1:], self.lengths) + width
        fits = column >= 0
        out[self.row_index[fits], column[fits]] = self.values[fits]
        return out


def offsets(lengths: NDArray[Any]) -> NDArray[np.int64]:
    """Return the start of each row from the rows' lengths, shape [rows + 1]."""
    out = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, dtype=np.int64, out=out[1:])
    return out
