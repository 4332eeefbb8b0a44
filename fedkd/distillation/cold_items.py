"""Cold items, which nobody has had yet: a linear model's numbers for them, from those of items of like content.

A closed form says nothing of an item without interactions. Its column of weights is predicted from its content, by a
ridge regression over the columns of the other items (Gantner, Drumond, Freudenthaler, Rendle & Schmidt-Thieme, Learning
attribute-to-feature mappings for cold-start recommendations, ICDM 2010). The prediction becomes part of the model, so
a device that recommends cold items needs no content. It is made of the catalogue and the model alone, and costs no
privacy budget.
"""

from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from fedkd.data.catalogue import Catalogue
from fedkd.distillation.content_prior import kinds_of_items
from fedkd.models.base import Recommender
from fedkd.models.content import content_kinds, side_by_side
from fedkd.models.decayed_linear import DecayedLinear, SparseDecayed
from fedkd.models.ease import EASE
from fedkd.models.linear import LowRank

Floats = NDArray[np.float32]
Model = TypeVar("Model", bound=Recommender)

RIDGE = 4.0
"""Ridge of the regression, where an item's content has a norm of at most 1; 1 to 8 are about as good."""

WORDS = 512
"""Dimensions of the hashed words of titles; 256 to 1,024 are about as good."""

KINDS = (EASE, DecayedLinear, LowRank, SparseDecayed)
"""The linear models that have numbers for every item."""

GROWTH = 0.25
"""Most weights of cold items over those of the others, in a sparse model, which is to stay small."""

_ITEMS = 256
"""Cold items of a sparse model that are worked on at a time."""


@dataclass(frozen=True)
class ContentMap:
    """A linear map from the columns of items that somebody has had to those of cold items.

    Attributes
    ----------
    known : ndarray, shape [items, numbers]
        The content of the items; 0 for cold ones.
    mapped : ndarray, shape [numbers, cold items]
        What their content is multiplied with.
    """

    known: Floats
    mapped: Floats

    @classmethod
    def of(cls, had: NDArray[np.bool_], catalogue: Catalogue) -> Self:
        """Return the map for a catalogue, some of whose items somebody has had, shape [items]."""
        known = item_content(catalogue)
        cold = known[~had]
        known[~had] = 0.0
        inner = known.T @ known + RIDGE * np.eye(known.shape[1], dtype=np.float32)
        mapped = linalg.solve(inner, cold.T, assume_a="pos", overwrite_a=True)
        return cls(known, mapped.astype(np.float32, copy=False))

    def predicted(self, columns: Floats) -> Floats:
        """Return the columns of cold items, shape [rows, cold items], from those of all, shape [rows, items]."""
        return np.asarray(columns @ self.known @ self.mapped)


def with_cold_items(model: Model, had: NDArray[np.bool_], catalogue: Catalogue, weight: float) -> Model:
    """Return a model in which cold items have the numbers that their content suggests.

    Parameters
    ----------
    model : EASE, DecayedLinear, LowRank, SparseDecayed or another
        A sparse one gets as many of the largest weights for a cold item as others have on average, and no more than a
        quarter of all of theirs; it is a new model, and the others are changed in place. Another one stays as it is.
    had : ndarray of bool, shape [items]
        The items that somebody has had; with all or none of them nothing changes.
    catalogue : Catalogue
        The items. Cold ones of which it tells nothing have no numbers.
    weight : float
        What the numbers of cold items are multiplied with.
    """
    if not isinstance(model, KINDS) or had.all() or not had.any():
        return model
    content = ContentMap.of(had, catalogue)
    if not content.known.any():
        return model
    if isinstance(model, SparseDecayed):
        return type(model)(_with_sparse_columns(model.matrix(), had, content, weight), model.rates.numpy())
    decoder = model.get_parameter("decoder.weight").detach().T if isinstance(model, LowRank) else model.weights
    columns = decoder.numpy()
    columns[:, ~had] = weight * content.predicted(columns)
    return model


def _with_sparse_columns(
    matrix: sparse.csr_array, had: NDArray[np.bool_], content: ContentMap, weight: float
) -> sparse.csr_array:
    """Return the matrix with the largest weights of cold items, some items at a time."""
    most = int(min(matrix.nnz / had.sum(), GROWTH * matrix.nnz / (~had).sum(), matrix.shape[0]))
    if not most:
        return matrix
    told, cold, others = np.asarray(matrix @ content.known), np.flatnonzero(~had), sparse.coo_array(matrix)
    kept = had[others.col]
    rows: list[NDArray[Any]] = [others.row[kept]]
    places, values = [others.col[kept]], [others.data[kept]]
    for start in range(0, len(cold), _ITEMS):
        items = cold[start : start + _ITEMS]
        columns = weight * told @ content.mapped[:, start : start + _ITEMS]
        largest = np.argpartition(-np.abs(columns), most - 1, axis=0)[:most]
        rows.append(largest.ravel())
        places.append(np.tile(items, most))
        values.append(np.take_along_axis(columns, largest, axis=0).ravel())
    whole = (np.concatenate(values), (np.concatenate(rows), np.concatenate(places)))
    out: sparse.csr_array = sparse.csr_array(whole, shape=matrix.shape)
    out.eliminate_zeros()
    return out


def item_content(catalogue: Catalogue) -> Floats:
    """Return what is known of every item, shape [items, numbers]; no numbers where that is nothing.

    Categories, eras, both at once, title words and every modality of vectors, each of norm 1 where an item has any; the
    whole is divided by the root of the number of kinds.
    """
    _, eras, both = (kind.T.astype(np.float32) for kind in kinds_of_items(catalogue))
    kinds = [kind for kind in (eras, both, *content_kinds(catalogue, WORDS)) if kind.shape[1]]
    return side_by_side(kinds) if kinds else np.zeros((len(catalogue), 0), np.float32)
