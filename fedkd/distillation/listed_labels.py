"""Soft labels as short lists: the items that a teacher likes best, their logits, and what is left for all others."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fedkd.losses.softmax import masked
from fedkd.models.base import multi_hot, padded_histories
from fedkd.ragged import Ragged

SMALLEST = 1e-6
"""Least probability that is kept for the items outside a list, so that its logarithm has a place in float16."""


def listed(scores: NDArray[np.float32], histories: Ragged, top: int, temperature: float) -> dict[str, NDArray[Any]]:
    """Return a teacher's soft labels for the items outside the histories, as lists.

    Parameters
    ----------
    scores : ndarray of float32, shape [histories, items]
        The teacher's logits.
    histories : Ragged of int32
        What was scored.
    top : int
        Length of a list.
    temperature : float
        Of the softmax.

    Returns
    -------
    dict of str to ndarray
        ``items`` and ``logits``, shape [histories, top], and ``rest``, shape [histories]: ``T log p`` of every listed
        item, and of each of the others if they were equal. Logits are float16.
    """
    items = scores.shape[1]
    seen = multi_hot(padded_histories(histories, items), items)
    likely = torch.log_softmax(masked(torch.from_numpy(scores), seen == 0) / temperature, -1)
    best = likely.topk(min(top, items), -1)
    others = (items - seen.sum(-1) - best.values.shape[1]).clamp(min=1.0)
    rest = ((1 - best.values.exp().sum(-1)).clamp(min=SMALLEST) / others).log()
    there = seen.gather(-1, best.indices) == 0  # a long list holds items of the history, too, which mean nothing
    logits, left = temperature * torch.where(there, best.values, rest.unsqueeze(-1)), temperature * rest
    positions = best.indices.numpy().astype(np.int32 if items > 2**15 else np.int16)
    return {"items": positions, "logits": logits.numpy().astype(np.float16), "rest": left.numpy().astype(np.float16)}


def unlisted(lists: Mapping[str, NDArray[Any]], num_items: int) -> NDArray[np.float32]:
    """Return the logits of all items that lists stand for, shape [histories, items].

    On them the loss ``top-k`` (`fedkd.losses.softmax.top_divergence`) has the value that it has on the teacher's own,
    but for rounding.
    """
    full = np.repeat(lists["rest"].astype(np.float32)[:, None], num_items, axis=1)
    np.put_along_axis(full, lists["items"].astype(np.int64), lists["logits"].astype(np.float32), axis=1)
    return full
