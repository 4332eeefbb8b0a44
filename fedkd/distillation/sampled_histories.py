"""Histories sampled from a model: what it believes users would choose one after the other, for a student to learn from.

Public histories are few, and a neural student needs many. A released model is public, and so is what is sampled from
it: no private history is touched, and no budget is spent. A sample starts from a few items of a public history, or from
popular items where there are no public users, and every next item is drawn from ``softmax(scale * score)`` over the
items that are not yet there.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedkd.distillation.calibration import fitted_temperature, latest_held_out
from fedkd.losses.softmax import masked
from fedkd.models.base import Recommender, multi_hot, score
from fedkd.models.device import beside, computing
from fedkd.ragged import Ragged, offsets

Ints = NDArray[np.int64]

FEWEST = 20
"""Public users below this number do not tell a temperature."""

LENGTH = 50
"""Items of a sampled history where no public history tells how long they are."""

BLOCK = 1 << 23
"""Scores that are in memory at once."""


@dataclass(frozen=True)
class Beginnings:
    """The first items of histories that are to be sampled, and how long these shall be.

    Attributes
    ----------
    shown : Ragged of int32
        The first items, oldest first; none at all is legal.
    lengths : ndarray of int64, shape [rows]
        Items of each whole history.
    """

    shown: Ragged
    lengths: Ints


def public_beginnings(
    histories: Ragged, count: int, most: int, ordered: bool, rng: np.random.Generator, longest: int = 200
) -> Beginnings:
    """Return some items of random public histories, and lengths of random others.

    Parameters
    ----------
    histories : Ragged of int
        Public histories, at least one of them not empty.
    count : int
        How many.
    most : int
        One to so many items of a history, or all where it is shorter.
    ordered : bool
        Whether the items follow each other in the history; otherwise they are any of it.
    rng : numpy.random.Generator
    longest : int
        Largest length.
    """
    known = histories.take(np.flatnonzero(histories.lengths > 0))
    chosen = known.take(rng.integers(len(known), size=count))
    kept = np.minimum(rng.integers(1, most + 1, count), chosen.lengths)
    place = np.arange(len(chosen.values)) - chosen.indptr[chosen.row_index]
    if ordered:
        place -= rng.integers(0, chosen.lengths - kept + 1)[chosen.row_index]
    else:
        place = place[np.lexsort((rng.random(len(place)), chosen.row_index))]
    shown = chosen.where((place >= 0) & (place < kept[chosen.row_index]))
    return Beginnings(shown, np.minimum(known.lengths[rng.integers(len(known), size=count)], longest))


def popular_beginnings(popular: NDArray[np.floating], count: int, rng: np.random.Generator) -> Beginnings:
    """Return single items, drawn by how popular they are; uniformly where nothing is known of that.

    Parameters
    ----------
    popular : ndarray, shape [items]
        Weights of the items, none of them negative.
    count : int
        How many.
    rng : numpy.random.Generator
    """
    weights = np.asarray(popular, np.float64)
    chances = weights / weights.sum() if weights.any() else np.full(len(weights), 1 / len(weights))
    items = rng.choice(len(weights), count, p=chances).astype(np.int32)
    return Beginnings(Ragged(items, np.arange(count + 1)), np.full(count, LENGTH))


def sampled_histories(model: Recommender, begun: Beginnings, scale: float, rng: np.random.Generator) -> Ragged:
    """Return histories that a model continues item by item, each drawn from ``softmax(scale * score)``.

    Parameters
    ----------
    model : Recommender
        Any model that may be known: a released one, or one of public data alone.
    begun : Beginnings
        The first items, which stay, and the lengths.
    scale : float
        Scores times this are logits; see `sampling_scale`.
    rng : numpy.random.Generator
        One number for every item that is drawn.

    Returns
    -------
    Ragged of int32
        Row by row as the beginnings; no item twice, never more than the catalogue has.
    """
    draws = np.maximum(np.minimum(begun.lengths, model.num_items) - begun.shown.lengths, 0)
    chances = Ragged(rng.random(int(draws.sum())), offsets(draws))
    order = np.argsort(-draws, kind="stable")
    parts = np.array_split(order, max(1, -(-len(order) * model.num_items // BLOCK)))
    model.eval()
    with computing(model):
        sampled = [_continued(model, begun.shown.take(rows), chances.take(rows), scale) for rows in parts]
    return Ragged.concatenate(sampled).take(np.argsort(order, kind="stable"))


def sampling_scale(
    model: Recommender, public: Ragged, ordered: bool, rng: np.random.Generator, users: int = 512
) -> float:
    """Return the scale under which the latest items of public users are likeliest, ``1 / temperature``.

    A model that learnt from these users is a little too sure of them. Where there are too few of them, the scale is the
    one under which its scores after single items have a standard deviation of 1.

    Parameters
    ----------
    model : Recommender
        The model.
    public : Ragged of int
        Histories of public users, oldest items first.
    ordered : bool
        Whether the model says what comes next, so that one item is held out; otherwise it is a fifth of a history.
    rng : numpy.random.Generator
        Chooses users.
    users : int
        At most so many users are looked at.
    """
    shown, wanted = latest_held_out(public, share=0.0 if ordered else 0.2)
    if len(shown) < FEWEST:
        items = rng.permutation(model.num_items)[:users].astype(np.int32)
        return 1 / max(float(score(model, Ragged(items, np.arange(len(items) + 1))).std()), 1e-6)
    chosen = rng.permutation(len(shown))[:users]
    return 1 / fitted_temperature(model, shown.take(chosen), wanted.take(chosen))


@torch.no_grad()
def _continued(model: Recommender, shown: Ragged, chances: Ragged, scale: float) -> Ragged:
    """Continue histories, of which those that want most items come first."""
    width, items = int(shown.lengths.max(initial=0)), model.num_items
    draws, longest = chances.lengths, int(chances.lengths.max(initial=0))
    whole = np.full((len(shown), width + longest), items, np.int64)
    whole[:, :width] = shown.padded(items, width)
    for step in range(longest):
        active = int((draws > step).sum())
        history = torch.from_numpy(whole[:active, : max(1, width + step)])
        chance = chances.values[chances.indptr[:active] + step]
        whole[:active, width + step] = _drawn(model, history, scale, chance)
    there = whole < items
    return Ragged(whole[there].astype(np.int32), offsets(there.sum(axis=1)))


def _drawn(model: Recommender, history: Tensor, scale: float, chance: NDArray[np.float64]) -> Ints:
    """Return an item for every history that is not in it: the first whose cumulated chance exceeds a number."""
    scores = model(beside(model, history)).cpu() * scale
    new = multi_hot(history, model.num_items) == 0
    cumulated = np.cumsum(torch.softmax(masked(scores, new), -1).double().numpy(), axis=1)
    whole = cumulated[:, -1:]
    passed = (cumulated <= chance[:, None] * whole) & (cumulated < whole)  # rounded, a product can be the whole
    return np.asarray(passed.sum(axis=1))
