"""The items of a data set, with their content."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Catalogue:
    """The items with their content; an item is its position here.

    Attributes
    ----------
    ids : ndarray of str, shape [items]
        The source's own item ids.
    titles : ndarray of str, shape [items], optional
        What a person calls the items.
    categories : tuple of str
        Names of the categories (genres, departments), possibly none.
    membership : ndarray of bool, shape [items, categories]
        Which item is of which category.
    vectors : mapping of str to ndarray of float32, shape [items, dimensions]
        Content embeddings by modality, such as ``"text"`` or ``"image"``.
    years : ndarray of int64, shape [items], optional
        When the items were released; 0 where nobody knows.
    """

    ids: NDArray[np.str_]
    titles: NDArray[np.str_] | None = None
    categories: tuple[str, ...] = ()
    membership: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), bool))
    vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    years: NDArray[np.int64] | None = None

    @classmethod
    def numbered(cls, items: int) -> "Catalogue":
        """Return a catalogue of which the number of items alone is known; their ids are their positions."""
        return cls(np.arange(items).astype(np.str_))

    def __len__(self) -> int:
        return len(self.ids)
