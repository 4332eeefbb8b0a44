"""The masking graph: sparse, public, and computed by everyone alone.

The members of a cohort stand on a circle in an order hashed from the round and the cohort; each is joined to the
``neighbours / 2`` nearest on both sides (Bell et al., CCS 2020). A cohort of up to ``COMPLETE`` members is joined
completely. The graph falls apart only where two runs of ``neighbours / 2`` consecutive members are all gone.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray

COMPLETE = 32
DROPPED_TENTHS = 3
COLLUDING_TENTHS = 1
CAPTURED_BITS = 30
STOPPED_BITS = 20  # a sum that stops is repeated, a client that was captured stays so


@dataclass(frozen=True)
class Shape:
    """Degree of the graph, and how many neighbours' shares open a member's masks."""

    neighbours: int
    threshold: int


@lru_cache(maxsize=256)
def shape(members: int) -> Shape:
    """Return the smallest graph that stands up to drop-outs and collusion.

    For random sets of 30 % dropped (rounded down) and 10 % colluding members (rounded up) the chance that any member
    keeps fewer than ``threshold`` neighbours is below 2**-20, and the chance that any has ``threshold`` colluding ones
    below 2**-30. In a complete graph the threshold is what 30 % drop-outs leave, but more than the colluding members.

    Parameters
    ----------
    members : int
        At least 2.
    """
    others, dropped, colluding = members - 1, members * DROPPED_TENTHS // 10, -(-members * COLLUDING_TENTHS // 10)
    if members > COMPLETE:
        for neighbours in range(COMPLETE, others, 2):
            threshold = _threshold(members, others - dropped, neighbours)
            if _is_rare(members, _tail(others, others - colluding, neighbours, neighbours - threshold), CAPTURED_BITS):
                return Shape(neighbours, threshold)
    return Shape(others, min(others, max(colluding + 1, others - dropped)))


def _threshold(members: int, staying: int, neighbours: int) -> int:
    """Return the largest number of neighbours that everybody keeps but for a rare chance."""
    threshold = 0
    while threshold < neighbours and _is_rare(
        members, _tail(members - 1, staying, neighbours, threshold), STOPPED_BITS
    ):
        threshold += 1
    return threshold


def _tail(others: int, marked: int, drawn: int, most: int) -> tuple[int, int]:
    """Chance, as a fraction of whole numbers, that ``drawn`` of the others hold at most ``most`` marked ones."""
    ways = sum(comb(marked, i) * comb(others - marked, drawn - i) for i in range(most + 1))
    return ways, comb(others, drawn)


def _is_rare(members: int, chance: tuple[int, int], bits: int) -> bool:
    return (members * chance[0]) << bits < chance[1]


class Ring:
    """A cohort on its circle.

    Parameters
    ----------
    context : bytes
        Stands for run and round.
    members : ndarray of int64, shape [members]
        Positions in the directory, ascending.
    """

    def __init__(self, context: bytes, members: NDArray[np.int64]) -> None:
        key = hashlib.sha256(b"fedkd graph" + context + members.astype(">u4").tobytes()).digest()
        stream = Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor().update(bytes(8 * len(members)))
        self.shape = shape(len(members))
        self._circle = members[np.argsort(np.frombuffer(stream, "<u8"), kind="stable")]
        half, size = self.shape.neighbours // 2, len(members)
        self._steps = np.r_[1 : self.shape.neighbours - half + 1, size - half : size]

    def neighbours(self, place: int) -> list[int]:
        """Return the positions of a member's neighbours, clockwise.

        If v is number j of the k neighbours of u, counted from 0, then u is number ``k - 1 - j`` of those of v.
        """
        spot = int(np.flatnonzero(self._circle == place)[0])
        others: list[int] = self._circle[(spot + self._steps) % len(self._circle)].tolist()
        return others

    def is_cut(self, alive: NDArray[np.bool_]) -> bool:
        """Say whether somewhere on the circle so many in a row are gone that nobody masks with anyone beyond them.

        Parameters
        ----------
        alive : ndarray of bool, shape [directory]
            Who is left, at least one of the members.
        """
        if self.shape.neighbours == len(self._circle) - 1:
            return False
        left = np.flatnonzero(alive[self._circle])
        steps = np.diff(left, append=left[0] + len(self._circle))
        return bool(steps.max() > self.shape.neighbours // 2)
