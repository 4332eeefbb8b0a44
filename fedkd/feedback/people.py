"""The people behind a service's log of feedback, as far as the log tells them apart."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.ragged import Ragged, offsets

History = tuple[int, ...]
"""Positions of items, the oldest first."""


@dataclass(frozen=True)
class Line:
    """One line of a log.

    Attributes
    ----------
    digest : bytes
        SHA-256 of the line, by which it is known when it comes again.
    history : tuple of int
        The history that a list was made for; empty where the line has none.
    chosen : tuple of int
        What was chosen from the list.
    """

    digest: bytes
    history: History
    chosen: History

    @property
    def after(self) -> History:
        """The person's history when the line was written, every item once."""
        return tuple(dict.fromkeys((*self.history, *self.chosen)))


@dataclass(frozen=True)
class People:
    """Everybody whom a run has heard of from logs.

    A log names nobody. A line whose history is exactly what an earlier line ended with is taken for the same person,
    who goes on; any other line is somebody new.

    Attributes
    ----------
    histories : tuple of tuple of int
        What each person has had so far.
    lines : frozenset of bytes
        Digests of all lines that were taken in.
    """

    histories: tuple[History, ...] = ()
    lines: frozenset[bytes] = frozenset()

    def __len__(self) -> int:
        return len(self.histories)

    def after(self, lines: Iterable[Line]) -> "People":
        """Return everybody after some more lines; a line that is known already says nothing new."""
        histories, known = list(self.histories), set(self.lines)
        ends = {history: person for person, history in enumerate(histories)}
        for line in lines:
            if line.digest in known:
                continue
            known.add(line.digest)
            if not line.after:
                continue
            person = ends.pop(line.history, len(histories))
            if person == len(histories):
                histories.append(line.after)
            histories[person] = line.after
            ends[line.after] = person
        return People(tuple(histories), frozenset(known))

    def went_on(self, before: "People") -> NDArray[np.int64]:
        """Return which of the people of an earlier time have another history now, ascending."""
        pairs = zip(before.histories, self.histories, strict=False)
        return np.array([person for person, (then, now) in enumerate(pairs) if then != now], np.int64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the same as named arrays."""
        rows = Ragged.from_rows([np.array(history) for history in self.histories], np.int32)
        lines = np.frombuffer(b"".join(sorted(self.lines)), np.uint8).reshape(-1, 32)
        return {"values": rows.values, "lengths": rows.lengths, "lines": lines}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "People":
        """Return the people that some arrays hold."""
        rows = Ragged(arrays["values"], offsets(arrays["lengths"]))
        histories = tuple(tuple(rows[person].tolist()) for person in range(len(rows)))
        return cls(histories, frozenset(line.tobytes() for line in arrays["lines"]))
