"""The nouns that travel between server and clients."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.ragged import Ragged


class Kind(StrEnum):
    """What the numbers of an answer are."""

    SCORES = "scores"
    PARAMETERS = "parameters"
    STATISTICS = "statistics"
    FEATURES = "features"
    VOTES = "votes"
    TRIPLES = "triples"


@dataclass(frozen=True)
class Reference:
    """What soft labels are about: histories that everyone may see, and a panel of items to score.

    Attributes
    ----------
    histories : Ragged of int32
        One row of item positions per reference.
    panel : ndarray of int32, shape [panel]
        The items whose scores are asked for, in the order of the answer's columns.
    """

    histories: Ragged
    panel: NDArray[np.int32]

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits; answers to different references never mix."""
        digest = hashlib.sha256()
        for array in (self.histories.indptr, self.histories.values, self.panel):
            digest.update(np.ascontiguousarray(array, "<i8").tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Asks:
    """What the server sends the clients of one node in one round.

    Attributes
    ----------
    round : int
        The round, counted from 1.
    clients : ndarray of int64, shape [clients]
        Who is asked, ascending.
    shared : mapping of str to ndarray
        What every client gets (a model, pooled soft labels).
    own : mapping of str to Ragged
        What each client gets for himself: one row a client, in the order of ``clients``.
    reference : Reference, optional
        What the answers must be about.
    """

    round: int
    clients: NDArray[np.int64]
    shared: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    own: Mapping[str, Ragged] = field(default_factory=dict)
    reference: Reference | None = None

    def take(self, clients: NDArray[np.int64]) -> "Asks":
        """Return the part that concerns some of the clients, in ascending order."""
        rows = np.searchsorted(self.clients, clients)
        own = {name: ragged.take(rows) for name, ragged in self.own.items()}
        return replace(self, clients=clients, own=own)


@dataclass(frozen=True)
class Grid:
    """A public grid of values for integer coding, and the modulus of sums.

    Attributes
    ----------
    step : float
        Distance of neighbouring values.
    low, high : int
        Smallest and largest multiple of the step in a single value.
    bits : int
        Sums are taken modulo ``2**bits``; what the server needs of them must fit, and that is public arithmetic.
    signed : bool
        Whether a received sum in the upper half of the modulus is a negative number.
    """

    step: float
    low: int
    high: int
    bits: int
    signed: bool = True

    @classmethod
    def for_sum(cls, step: float, limit: int, terms: int) -> "Grid":
        """Return the grid of ``-limit..limit`` whose sums of ``terms`` values never wrap around."""
        return cls(step, -limit, limit, (2 * limit * terms).bit_length())


@dataclass(frozen=True)
class Outer:
    """Per-client matrices of low rank, kept as factors: client ``c`` means ``sum of left[r]^T right[r]`` over his rows.

    The sum over all clients is then one matrix product, and no client's matrix need exist in a simulation.

    Attributes
    ----------
    left : sparse csr array or ndarray, shape [rows, references]
    right : sparse csr array or ndarray, shape [rows, panel]
        A ``right`` of whole numbers stays exact under integer coding of ``left``.
    owner : ndarray of int64, shape [rows]
        Position in ``Answers.clients`` of the client that each row belongs to.
    """

    left: Any
    right: Any
    owner: NDArray[np.int64]

    def total(self) -> NDArray[Any]:
        """Return the sum over all rows, shape [references, panel]."""
        product = self.left.T @ self.right
        return np.asarray(product.todense() if hasattr(product, "todense") else product)

    def of(self, client: int) -> NDArray[Any]:
        """Return the matrix of one client (a position), shape [references, panel]."""
        rows = np.flatnonzero(self.owner == client)
        return Outer(self.left[rows], self.right[rows], self.owner[rows]).total()


@dataclass(frozen=True)
class Spec:
    """What one named array of an answer must look like; known to both sides, so that no layout need travel.

    Attributes
    ----------
    kind : Kind
        What the numbers are.
    shape : tuple of int
        Shape of one client's array. Where it does not sum, the leading ``-1`` of a shape stands for a length that
        differs between clients.
    sums : bool
        Whether the server only ever needs the sum over clients.
    dtype : str
        How floats and ids travel where there is no grid.
    grid : Grid, optional
        How the release codes the values as integers.
    clip : float, optional
        Largest Euclidean norm of one client's array, in the units of its values; the release scales longer ones down.
    """

    kind: Kind
    shape: tuple[int, ...]
    sums: bool = True
    dtype: str = "float32"
    grid: Grid | None = None
    clip: float | None = None


def mask_bits(specs: Mapping[str, Spec]) -> int:
    """Return the bits of a secure sum of all arrays of an answer, which are masked as one vector; at least 8."""
    return max([8, *(spec.grid.bits for spec in specs.values() if spec.grid is not None)])


@dataclass(frozen=True)
class Answers:
    """What the clients of a cohort answer, or what of it has been released.

    Attributes
    ----------
    round : int
        The round it answers.
    clients : ndarray of int64, shape [clients]
        Whose answers these are, ascending.
    values : mapping of str to ndarray, Outer or Ragged
        Before the release: one leading row per client, or an ``Outer``. After it, where the spec sums: the sum over
        ``clients``, without the client axis. What does not sum stays one row per client, ``Ragged`` where lengths
        differ.
    reference : str
        Fingerprint of the reference that was scored, or an empty string.
    refused : mapping of str to list of int
        Clients whose answer could not be released, by reason.
    """

    round: int
    clients: NDArray[np.int64]
    values: Mapping[str, Any]
    reference: str = ""
    refused: Mapping[str, list[int]] = field(default_factory=dict)
