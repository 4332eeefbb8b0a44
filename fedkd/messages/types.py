"""Asks, answers and references, the types of which all messages between server and clients are made."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.missing import Missing
from fedkd.ragged import Ragged


class Kind(StrEnum):
    """The meaning of the numbers of an answer."""

    SCORES = "scores"
    PARAMETERS = "parameters"
    STATISTICS = "statistics"
    VOTES = "votes"
    RATED_ITEMS = "rated items"


@dataclass(frozen=True)
class Reference:
    """The subject of soft labels: histories that everyone may see, and a subset of items (the panel) to score.

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
    """The question that the server sends the clients of one node in one round.

    Attributes
    ----------
    round : int
        The round, counted from 1.
    clients : ndarray of int64, shape [clients]
        The asked clients, ascending.
    shared : mapping of str to ndarray
        Arrays for every client (a model, pooled soft labels).
    own : mapping of str to Ragged
        Arrays for single clients: one row a client, in the order of ``clients``.
    reference : Reference, optional
        The subject of the answers.
    """

    round: int
    clients: NDArray[np.int64]
    shared: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    own: Mapping[str, Ragged] = field(default_factory=dict)
    reference: Reference | None = None

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the reference; empty without one."""
        return "" if self.reference is None else self.reference.fingerprint

    def take(self, clients: NDArray[np.int64]) -> "Asks":
        """Return the part that concerns some of the clients, in ascending order."""
        rows = np.searchsorted(self.clients, clients)
        own = {name: ragged.take(rows) for name, ragged in self.own.items()}
        return replace(self, clients=clients, own=own)


@dataclass(frozen=True)
class Quantiser:
    """Coding of values as whole multiples of a public step, and the modulus of their sums.

    Attributes
    ----------
    step : float
        Distance of neighbouring values.
    low, high : int
        Smallest and largest multiple of the step in a single value.
    bits : int
        Sums are taken modulo ``2**bits``, so the sums that the server needs must fit.
    signed : bool
        Whether a received sum in the upper half of the modulus is a negative number.
    """

    step: float
    low: int
    high: int
    bits: int
    signed: bool = True


@dataclass(frozen=True)
class LowRankUpdate:
    """Per-client matrices of low rank, kept as factors: client ``c`` means ``sum of left[r]^T right[r]`` over its rows.

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
        return LowRankUpdate(self.left[rows], self.right[rows], self.owner[rows]).total()


@dataclass(frozen=True)
class SparseUpdate:
    """Per-client vectors of which few numbers are not zero, kept as those: client ``c`` has ``value`` at ``position``.

    Attributes
    ----------
    position : ndarray of int64, shape [entries]
        Where the numbers stand; what stands at one position of one client is added.
    value : ndarray of int64 or float64, shape [entries]
        Whole numbers, or others where answers are bounded.
    owner : ndarray of int64, shape [entries]
        Position in ``Answers.clients`` of the client that each entry belongs to.
    size : int
        Length of a client's vector.
    """

    position: NDArray[np.int64]
    value: NDArray[Any]
    owner: NDArray[np.int64]
    size: int

    def total(self) -> NDArray[Any]:
        """Return the sum over all entries, shape [size], in the type of the values; exact below ``2**53``."""
        return np.bincount(self.position, self.value, self.size).astype(self.value.dtype)

    def where(self, keep: NDArray[np.bool_]) -> "SparseUpdate":
        """Return only the entries for which ``keep`` (shape [entries]) is true."""
        return replace(self, position=self.position[keep], value=self.value[keep], owner=self.owner[keep])

    def of(self, client: int) -> NDArray[Any]:
        """Return the vector of one client (a position), shape [size]."""
        return self.where(self.owner == client).total()


class Codec(ABC):
    """The way in which one named array of an answer travels as bytes: what is read is exactly what was written.

    Clients write the array of one client, of several below each other, or their sum where the spec sums. A codec of
    your own is a subclass in your own module, and a protocol of your own puts an instance into its ``Spec``.
    """

    @abstractmethod
    def fits(self, spec: "Spec") -> bool:
        """Return whether arrays of this form can be written."""

    @abstractmethod
    def pack(self, values: Any, spec: "Spec") -> bytes:
        """Write an array, or a ``Ragged`` where lengths differ between clients."""

    @abstractmethod
    def unpack(self, data: memoryview, spec: "Spec", clients: int) -> tuple[Any, memoryview]:
        """Read what ``pack`` wrote for a number of clients, and return it with the bytes behind it.

        Raises
        ------
        MalformedError
            Too few bytes, or values that are not finite.
        """

    @abstractmethod
    def sizes(self, values: Any, spec: "Spec") -> NDArray[np.int64] | int:
        """Return the bytes of each client's array alone: from the spec alone where clients are summed."""


@dataclass(frozen=True)
class Spec:
    """The form of one named array of an answer, which both sides know, so that no layout is sent.

    Attributes
    ----------
    kind : Kind
        The meaning of the numbers.
    shape : tuple of int
        Shape of one client's array. Where it does not sum, the leading ``-1`` of a shape stands for a length that
        differs between clients.
    sums : bool
        Whether the server only ever needs the sum over clients.
    dtype : str
        Type in which floats and ids travel where there is no quantiser.
    quantiser : Quantiser, optional
        Coding as whole numbers.
    clip : float, optional
        Largest Euclidean norm of one client's array, in the units of its values; where answers must be bounded, longer
        ones are scaled down.
    weighted : bool
        Whether a client's array is multiplied by its weight (``Answers.weights``). Where answers must be bounded, all
        clients have the same weight.
    codec : Codec, optional
        The way of the array as bytes; by default the first of the package's that fits.
    """

    kind: Kind
    shape: tuple[int, ...]
    sums: bool = True
    dtype: str = "float32"
    quantiser: Quantiser | None = None
    clip: float | None = None
    weighted: bool = False
    codec: Codec | None = None


def mask_bits(specs: Mapping[str, Spec]) -> int:
    """Return the bits of a secure sum of all arrays of an answer, which are masked as one vector; at least 8."""
    return max([8, *(spec.quantiser.bits for spec in specs.values() if spec.quantiser is not None)])


@dataclass(frozen=True)
class Answers:
    """Answers of some clients, either raw or encoded for their way to the server.

    Attributes
    ----------
    round : int
        The round they answer.
    clients : ndarray of int64, shape [clients]
        The clients, ascending.
    values : mapping of str to ndarray, LowRankUpdate, SparseUpdate or Ragged
        Raw: one leading row per client, factors, or entries. Encoded, where the spec sums: the sum over ``clients``,
        without the client axis. Other arrays keep one row per client, ``Ragged`` where lengths differ.
    reference : str
        Fingerprint of the reference that was scored, or an empty string.
    refused : mapping of Missing to list of int
        Clients whose answer may not leave, by reason.
    weights : ndarray, shape [clients], optional
        The weight of every raw answer; 1 without it.
    """

    round: int
    clients: NDArray[np.int64]
    values: Mapping[str, Any]
    reference: str = ""
    refused: Mapping[Missing, list[int]] = field(default_factory=dict)
    weights: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Estimate:
    """The server's estimate of a sum over clients.

    Attributes
    ----------
    value : ndarray, or Ragged rows where answers do not sum
        The sum, in the units of the answers.
    std : float
        Standard deviation of the noise on each of its numbers, in the same units; 0 where it is exact.
    """

    value: Any
    std: float = 0.0


@dataclass(frozen=True)
class Estimates:
    """The estimates of one round, ready to be pooled.

    Attributes
    ----------
    round : int
        The round.
    clients : ndarray of int64, shape [clients]
        Everyone whose answer is in the sums, ascending.
    values : mapping of str to Estimate
        By the names of the protocol's specs.
    weight : float
        Divisor that turns weighted sums into means: the sum of the clients' weights. Where answers must be bounded, it
        is the planned number of participants, because the number of answers depends on who takes part.
    """

    round: int
    clients: NDArray[np.int64]
    values: Mapping[str, Estimate]
    weight: float
