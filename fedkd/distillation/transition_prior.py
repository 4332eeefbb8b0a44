"""A neural model's transitions as a prior of the next-item statistic's closed form (LINK, SIGIR 2025).

``B = (G + ridge I)^-1 (K + weight P)``: a row of ``P`` is ``softmax(T / temperature)`` of the scores ``T`` for a
history of one item. With ``weight = ridge`` this is ridge regression that draws ``B`` towards ``P`` in place of zero.
The last item of a history is there at every decay, so each decay's rows of ``B`` get an equal part of it.
"""

from dataclasses import replace

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from fedkd.distillation.pair_models import PairSums
from fedkd.models.base import Recommender
from fedkd.models.device import beside

MOST = 100
"""Transitions from every item that are kept, the most likely ones."""

_ITEMS = 256
"""Rows of scores that are in memory at once."""


@torch.no_grad()
def transitions(model: Recommender, temperature: float, most: int = MOST) -> sparse.csr_array:
    """Return the chance of every next item after a history of one item, shape [items, items].

    Parameters
    ----------
    model : Recommender
        One whose scores are logits.
    temperature : float
        The scores are divided by it.
    most : int
        At most so many chances of every row are kept; the others are zero.
    """
    items, kept = model.num_items, min(most, model.num_items)
    parts = (torch.arange(start, min(items, start + _ITEMS)) for start in range(0, items, _ITEMS))
    best = [torch.topk(_rows(model, part, temperature), kept, dim=1) for part in parts]
    chances, following = (torch.cat(parts).reshape(-1).numpy() for parts in zip(*best, strict=True))
    entries = (chances, (np.repeat(np.arange(items), kept), following))
    return sparse.csr_array(sparse.coo_array(entries, shape=(items, items)))


def _rows(model: Recommender, items: Tensor, temperature: float) -> Tensor:
    scores = model(beside(model, items.unsqueeze(1))).cpu() / temperature
    scores[torch.arange(len(items)), items] = -torch.inf  # nobody chooses an item again
    return torch.softmax(scores, 1)


def with_prior(sums: PairSums, prior: sparse.csr_array, weight: float) -> PairSums:
    """Return the sums with the prior among the targets.

    Parameters
    ----------
    sums : PairSums
        ``G`` and ``K``.
    prior : sparse csr array, shape [items, items]
        ``P``.
    weight : float
        In the units of ``G``.
    """
    layout, entries = sums.layout, sparse.coo_array(prior)
    rows = entries.row + layout.num_items * np.arange(layout.decays)[:, None]
    columns, shares = (np.tile(part, layout.decays) for part in (entries.col + layout.inputs, entries.data))
    values = np.asarray(shares * (weight / layout.decays), np.float32)
    added = sparse.coo_array((values, (rows.ravel(), columns)), shape=(layout.inputs, layout.width))
    return replace(sums, matrix=sums.matrix + sparse.csr_array(added))
