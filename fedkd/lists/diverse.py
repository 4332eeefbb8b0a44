"""Diversity: the list is filled place by place, and an item like those above it must be better to come next.

Maximal marginal relevance (Carbonell & Goldstein, The use of MMR, diversity-based reranking, SIGIR 1998), with the mean
likeness to the items above instead of the largest, since many items share one of a few categories.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedkd.data.interactions import Interactions
from fedkd.evaluation.metrics import DEPTH, top_items
from fedkd.lists.base import Arrays, Asked, ListStep, Scores, unit_rows

NOBODY = -1e6
"""Relevance of a candidate that there is not: it comes after all others, and before those that have a place."""


class Diverse(ListStep):
    """Lists of several categories, from the best items of the model.

    Attributes
    ----------
    weight : float
        Weight of unlikeness; what is left of 1 is that of the scores. 0 changes nothing.
    among : int
        The best items of the model, from which the first places are filled.
    """

    kind: Literal["diverse"] = "diverse"
    weight: float = Field(0.3, ge=0, le=1)
    among: int = Field(60, ge=2)

    def lacking(self, public: Interactions) -> str:
        """Return that categories are missing, where the catalogue has none."""
        return "" if public.catalogue.categories else "a catalogue with categories, and this one has none"

    def learn(self, public: Interactions) -> Arrays:
        """Return the categories of items, rows of norm 1."""
        return {"categories": unit_rows(public.catalogue.membership)}

    def adjust(self, scores: Scores, asked: Asked, learnt: Arrays) -> Scores:
        """Return the scores, those of the best items exchanged so that they come in the new order."""
        best = top_items(scores, asked.left_out, min(self.among, scores.shape[1]))
        values = np.take_along_axis(scores, best, axis=1)
        places = self._places(np.where(best < 0, -np.inf, values), learnt["categories"][best])
        row, rank = np.nonzero(best >= 0)
        changed = scores.copy()
        changed[row, np.take_along_axis(best, places, axis=1)[row, rank]] = values[row, rank]
        return changed

    def _places(self, values: Scores, categories: Scores) -> NDArray[np.int64]:
        """Return the candidates in their new order, shape [rows, candidates]; the first places are filled in turn.

        Parameters
        ----------
        values : ndarray, shape [rows, candidates]
            Scores, best first; minus infinity where there is no candidate.
        categories : ndarray, shape [rows, candidates, categories]
        """
        worth = (1 - self.weight) * _relevance(values)
        rows, above = np.arange(len(values)), np.zeros(categories[:, 0].shape, np.float32)
        order = np.broadcast_to(DEPTH + np.arange(values.shape[1]), values.shape).copy()
        for place in range(min(DEPTH, values.shape[1])):
            likeness = np.einsum("rkc,rc->rk", categories, above) / max(1, place)
            picked = np.where(order < DEPTH, -np.inf, worth - self.weight * likeness).argmax(1)
            order[rows, picked] = place
            above += categories[rows, picked]
        return np.argsort(order, axis=1, kind="stable")


def _relevance(values: Scores) -> Scores:
    """Return scores between 0, of the last candidate, and 1, of the first; ``NOBODY`` where there is none."""
    missing = np.isinf(values)
    first = np.where(missing[:, :1], 0.0, values[:, :1])
    last = np.where(missing, first, values).min(1, keepdims=True)
    share = (np.where(missing, last, values) - last) / np.maximum(first - last, 1e-9)
    return np.asarray(np.where(missing, NOBODY, share), np.float32)
