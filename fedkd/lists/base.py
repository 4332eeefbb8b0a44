"""The base of the steps between a model's scores and its lists."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedkd.data.interactions import Interactions
from fedkd.ragged import Ragged
from fedkd.registry import Choice

Scores = NDArray[np.float32]
"""Scores of the catalogue, shape [rows, items]."""

Arrays = Mapping[str, NDArray[Any]]
"""Arrays that a step has learnt, by name."""


@dataclass(frozen=True)
class Asked:
    """Lists to make.

    Attributes
    ----------
    histories : Ragged of int
        One row of item positions for every list.
    left_out : Ragged of int
        The items of every row that must not be recommended.
    """

    histories: Ragged
    left_out: Ragged


class ListStep(Choice, ABC):
    """A step from scores to other scores: its settings, what it learns once, and what it does with every history.

    Steps follow each other, and the highest scores of the last one are the list. A step learns from public data alone,
    so it costs no privacy.

    Attributes
    ----------
    kind : str
        The step's name.
    """

    key: ClassVar[str] = "kind"
    kind: str

    def lacking(self, public: Interactions) -> str:
        """Return what the step needs and these data lack; empty where it can do its work."""
        del public
        return ""

    @abstractmethod
    def learn(self, public: Interactions) -> Arrays:
        """Return what the step keeps for later, beside its settings, of public users (possibly none) and catalogue."""

    @abstractmethod
    def adjust(self, scores: Scores, asked: Asked, learnt: Arrays) -> Scores:
        """Return other scores for some histories, shape [rows, items].

        Parameters
        ----------
        scores : ndarray of float32, shape [rows, items]
            Of the model, or of the step before; they stay as they are.
        asked : Asked
            The histories, and the items that will not be recommended.
        learnt : mapping
            What ``learn`` returned.
        """


def standardised(scores: Scores) -> Scores:
    """Return scores with mean 0 and standard deviation 1 over the catalogue, row by row; 0 where all are equal."""
    centred = scores - scores.mean(-1, keepdims=True)
    spread = np.sqrt(np.square(centred).mean(-1, keepdims=True))
    return np.asarray(centred / np.maximum(spread, 1e-9), np.float32)


def unit_rows(rows: NDArray[Any]) -> Scores:
    """Return rows of norm 1; empty ones stay empty."""
    norms = np.linalg.norm(rows.astype(np.float32), axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, 1e-9), np.float32)
