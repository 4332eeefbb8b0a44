"""The content of items as rows of further users: categories, the years of release, and both at once.

Content is public, so it costs no privacy, and it helps most with items whose pairs few public users show and noise
hides. It joins the users as further rows of the least-squares problem (Jeunen, Van Balen & Goethals, Closed-form models
for collaborative filtering with side-information, RecSys 2020, CEASE).
"""

import numpy as np
from numpy.typing import NDArray

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions

Floats = NDArray[np.float64]

ERA = 10
"""Years from the middle of an era to its ends; chosen on validation."""


def content_rows(public: Interactions, weight: float) -> Floats:
    """Return a row for every category, every era, and every category in every era, as if it were a user.

    Within one of the three kinds the product of two items' columns is the cosine of their content of that kind times
    the root of both popularities with the public, each half a user more than counted, so that items which no public
    user has are like others too. The cosine of the third kind is the product of the first two.

    Parameters
    ----------
    public : Interactions
        The public users, and the catalogue.
    weight : float
        The squared norm of all rows of a kind together; an ordinary user's row has norm 1.

    Returns
    -------
    ndarray, shape [categories + eras + both, items]
        Of the third kind those rows that are not empty; no rows of a kind that the catalogue lacks.
    """
    popularity = public.popularity()
    return np.vstack([_weighted(kind, popularity, weight) for kind in kinds_of_items(public.catalogue)])


def kinds_of_items(catalogue: Catalogue) -> tuple[Floats, Floats, Floats]:
    """Return the membership of items in categories, in eras, and in both at once, each of shape [rows, items].

    Of the third kind only rows that are not empty; no rows of a kind that the catalogue lacks.
    """
    items = len(catalogue)
    categories: Floats = catalogue.membership.T.astype(np.float64).reshape(-1, items)
    eras = era_rows(np.zeros(items, np.int64) if catalogue.years is None else catalogue.years)
    both = (categories[:, None] * eras).reshape(-1, items)
    return categories, eras, both[both.any(axis=1)]


def era_rows(years: NDArray[np.int64]) -> Floats:
    """Return the membership of every item in every era, shape [eras, items]; an unknown year (0) belongs to none.

    The middles of eras are half an era apart, and membership falls in a straight line from 1 at the middle to 0, so
    that years which are near each other share eras wherever they lie.
    """
    known, step = years > 0, ERA // 2
    middles = step * np.unique(years[known][:, None] // step + np.arange(-1, 3))
    rows = np.maximum(0.0, 1 - np.abs(years - middles[:, None]) / ERA) * known
    return np.asarray(rows[rows.any(axis=1)])


def _weighted(rows: Floats, popularity: NDArray[np.int64], weight: float) -> Floats:
    """Return rows whose columns have the root of ``popularity + 1/2`` as norm or are empty, scaled to the weight."""
    norms = np.square(rows).sum(axis=0)
    rows = np.asarray(rows * np.sqrt(np.divide(popularity + 0.5, norms, out=np.zeros_like(norms), where=norms > 0)))
    total = np.square(rows).sum()
    return np.asarray(rows * np.sqrt(weight / total)) if total else rows
