"""The content of a catalogue's items, as numbers: categories, the words of titles, and vectors of any modality."""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.models.hashing import hashed

WORD = re.compile(r"\w+")


def content_features(catalogue: Catalogue, words: int) -> Tensor:
    """Return the content of every item, float32 of shape [items, features].

    Each kind of content (categories, title words, a modality of vectors) has length 1 where an item has any, so that
    none outshouts the others, and the whole is divided by the root of the number of kinds.

    Parameters
    ----------
    catalogue : Catalogue
        The items.
    words : int
        Dimensions of the hashed words of titles; 0 leaves titles out.

    Raises
    ------
    UserError
        The catalogue tells nothing but ids.
    """
    parts = list(content_kinds(catalogue, words))
    if not parts:
        raise UserError(
            "this model looks at the items' content, and the catalogue has neither categories nor titles nor vectors; "
            "set content = false in its item tables, or give the data an item file"
        )
    return torch.from_numpy(side_by_side(parts))


def side_by_side(kinds: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return kinds of content, at least one, as one array in which each weighs alike; see ``content_features``."""
    return np.concatenate([unit(kind) for kind in kinds], axis=1) * np.float32(len(kinds) ** -0.5)


def content_kinds(catalogue: Catalogue, words: int) -> Iterator[NDArray[np.float32]]:
    """Yield every kind of content that a catalogue has, each of shape [items, numbers]; 0 words leave titles out."""
    if catalogue.categories:
        yield catalogue.membership.astype(np.float32)
    if catalogue.titles is not None and words > 0:
        yield title_words(catalogue.titles.tolist(), words)
    for name in sorted(catalogue.vectors):
        yield catalogue.vectors[name]


def title_words(titles: list[str], dimensions: int) -> NDArray[np.float32]:
    """Return how often the words of every title fall on each dimension, shape [items, dimensions]; case is ignored."""
    counts = np.zeros((len(titles), dimensions), np.float32)
    for row, title in enumerate(titles):
        for word in WORD.findall(title.lower()):
            counts[row, hashed(word, dimensions)] += 1
    return counts


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows of length 1; rows of zeros stay."""
    lengths = np.sqrt(np.square(rows).sum(1, keepdims=True))
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0), np.float32)
