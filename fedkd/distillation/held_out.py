"""Public users held out of a distillation, who judge the student, so that training may stop when it gains no more.

The users of a federation stay unseen: who is held out is public. Prechelt, Early stopping - but when?, 1998.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fedkd.evaluation.metrics import METRICS, PRIMARY, ranking_metrics
from fedkd.models.base import Recommender, score
from fedkd.ragged import Ragged

Quality = Callable[[Recommender], float]
PART = 5
"""One in so many public users is held out, and one in so many items of their histories is to be found."""

FEWEST = 5
"""Public users from which on one can be spared."""


def held_out(public: Ragged, rng: np.random.Generator) -> tuple[Ragged, Quality]:
    """Return the histories that are left to learn from, and the quality of a model for the users held out.

    Parameters
    ----------
    public : Ragged of int
        Histories of the public users, none of them empty, at least ``FEWEST``.
    rng : numpy.random.Generator

    Returns
    -------
    kept : Ragged of int
        Four fifths of the histories.
    quality : callable
        NDCG@20 of the others, whose last fifth of a history is to be found; histories of one item do not count.
    """
    order = rng.permutation(len(public))
    judges, kept = np.split(order, [max(1, len(public) // PART)])
    shown, target = _divided(public.take(np.sort(judges)))
    return public.take(np.sort(kept)), lambda model: _ndcg(model, shown, target)


def _divided(histories: Ragged) -> tuple[Ragged, Ragged]:
    """Return the beginning and the end of every history, at least an item each; shorter ones are left out."""
    histories = histories.take(np.flatnonzero(histories.lengths > 1))
    end = np.maximum(1, histories.lengths // PART)
    place = np.arange(len(histories.values)) - histories.indptr[histories.row_index]
    late = place >= (histories.lengths - end)[histories.row_index]
    return histories.where(~late), histories.where(late)


def _ndcg(model: Recommender, shown: Ragged, target: Ragged) -> float:
    if not len(shown):
        return 0.0
    found: NDArray[np.float64] = ranking_metrics(score(model, shown), shown, target)
    return float(found[:, METRICS.index(PRIMARY)].mean())
