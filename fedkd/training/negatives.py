"""Negative sampling of items that a client has no interactions with, from its own random stream."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedkd.ragged import Ragged, offsets


def sample_negatives(
    positives: Ragged, num_items: int, per_positive: int, streams: Sequence[np.random.Generator]
) -> Ragged:
    """Draw items that a client has not touched, uniformly and with replacement.

    Parameters
    ----------
    positives : Ragged of int
        One row of distinct item positions per client.
    num_items : int
        Size of the catalogue.
    per_positive : int
        Negatives for each positive, 4 in He et al. (2017).
    streams : sequence of Generator
        One per client.

    Returns
    -------
    Ragged of int64
        One row per client, ``per_positive`` times as long as its positives; empty where it touched every item.
    """
    clients = zip(range(len(positives)), streams, strict=True)
    rows = [_draw(positives[client], num_items, per_positive, generator) for client, generator in clients]
    values = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    return Ragged(values, offsets(np.fromiter(map(len, rows), np.int64, len(rows))))


def _draw(
    positives: NDArray[np.int64], num_items: int, per_positive: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    free = num_items - len(positives)
    if free == 0:
        return np.zeros(0, np.int64)
    rank = generator.integers(0, free, len(positives) * per_positive)
    # The r-th free item is r plus the number of positives before it; no rejection, no table of the catalogue.
    return rank + np.searchsorted(np.sort(positives) - np.arange(len(positives)), rank, side="right")


def labelled_pairs(positives: Ragged, negatives: Ragged) -> tuple[Ragged, Ragged]:
    """Join positives and negatives to items and labels 1 and 0, one row per client, positives first.

    Returns
    -------
    items : Ragged of int64
    labels : Ragged of float32
    """
    lengths = positives.lengths + negatives.lengths
    indptr = offsets(lengths)
    first = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths) < np.repeat(positives.lengths, lengths)
    items = np.empty(len(first), np.int64)
    items[first], items[~first] = positives.values, negatives.values
    return Ragged(items, indptr), Ragged(first.astype(np.float32), indptr)
