"""Models that are written down rather than trained, by name."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from fedkd.data.interactions import Interactions
from fedkd.models.base import Recommender
from fedkd.models.ease import fit_ease
from fedkd.models.item_knn import fit_item_knn
from fedkd.models.popularity import fit_popularity
from fedkd.models.sparse import fit_sparse
from fedkd.registry import unknown

CLOSED_FORMS: dict[str, Callable[..., Recommender]] = {
    "ease": partial(fit_ease, l2=300.0),
    "item-knn": fit_item_knn,
    "popularity": fit_popularity,
    "sparse": fit_sparse,
}
"""The functions that fit them; their settings are the arguments after the training set."""


def fit(name: str, train: Interactions, **settings: Any) -> Recommender:
    """Return the model of a name; a ``UserError`` tells which settings it has."""
    function = CLOSED_FORMS[name]
    known = [*inspect.signature(function).parameters][1:]
    for setting in settings:
        if setting not in known:
            raise unknown(f"setting of {name}", setting, known)
    return function(train, **settings)
