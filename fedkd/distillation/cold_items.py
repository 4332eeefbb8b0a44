"""Cold items, which nobody has had yet: a linear model's numbers for them, from those of items of like content.

A closed form says nothing of an item without interactions. Its column of weights is predicted from its content, by a
ridge regression over the columns of the other items (Gantner, Drumond, Freudenthaler, Rendle & Schmidt-Thieme, Learning
attribute-to-feature mappings for cold-start recommendations, ICDM 2010). The prediction becomes part of the model, so
a device that recommends cold items needs no content. It is made of the catalogue and the model alone, and costs no
privacy budget.
"""

from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from fedkd.data.catalogue import Catalogue
from fedkd.distillation.content_prior import kinds_of_items
from fedkd.models.base import Recommender
from fedkd.models.content import content_kinds, side_by_side
from fedkd.models.ease import EASE
from fedkd.models.linear import LowRank

Floats = NDArray[np.float32]
Model = TypeVar("Model", bound=Recommender)

RIDGE = 4.0
"""Ridge of the regression, where an item's content has a norm of at most 1; chosen on validation."""

WORDS = 512
"""Dimensions of the hashed words of titles; chosen on validation."""


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
    """Return a model in which cold items have the numbers that their content suggests; it is changed in place.

    Parameters
    ----------
    model : EASE, LowRank or another
        Another one stays as it is.
    had : ndarray of bool, shape [items]
        The items that somebody has had; with all or none of them nothing changes.
    catalogue : Catalogue
        The items. Cold ones of which it tells nothing have no numbers.
    weight : float
        What the numbers of cold items are multiplied with.
    """
    if isinstance(model, EASE):
        columns = model.weights.numpy()
    elif isinstance(model, LowRank):
        columns = model.get_parameter("decoder.weight").detach().numpy().T
    else:
        return model
    if had.any() and not had.all():
        columns[:, ~had] = weight * ContentMap.of(had, catalogue).predicted(columns)
    return model


def item_content(catalogue: Catalogue) -> Floats:
    """Return what is known of every item, shape [items, numbers]; no numbers where that is nothing.

    Categories, eras, both at once, title words and every modality of vectors, each of norm 1 where an item has any; the
    whole is divided by the root of the number of kinds.
    """
    _, eras, both = (kind.T.astype(np.float32) for kind in kinds_of_items(catalogue))
    kinds = [kind for kind in (eras, both, *content_kinds(catalogue, WORDS)) if kind.shape[1]]
    return side_by_side(kinds) if kinds else np.zeros((len(catalogue), 0), np.float32)
