"""Linear models of decayed histories: what was chosen a while ago counts less, and scores are for the next item.

The input is, for every decay, a vector over the catalogue with ``exp(-rate * steps)`` at an item that lies ``steps``
items back (0 for the last). A rate of 0 is the plain history, whose order does not matter.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.nn import functional

from fedkd.models.base import Recommender, multi_hot
from fedkd.ragged import offsets

NEGLIGIBLE = 18.0
"""A weight of ``exp(-18)`` is lost beside one of 1 in single precision."""


class Decayed(Recommender):
    """The input that the models of this file have in common.

    Parameters
    ----------
    num_items : int
        Size of the catalogue.
    rates : ndarray, shape [decays]
        Loss of weight with every step back; not negative.

    Attributes
    ----------
    rates : Tensor of float32, shape [decays]
    """

    rates: Tensor

    def __init__(self, num_items: int, rates: NDArray[Any]) -> None:
        super().__init__(num_items)
        self.register_buffer("rates", torch.from_numpy(np.asarray(rates, np.float32)))

    def hidden(self, history: Tensor) -> Tensor:
        """Return the decayed histories one beside the other, shape [batch, decays * items]."""
        back = torch.arange(history.shape[1] - 1, -1, -1, device=history.device)
        weights = torch.exp(-self.rates[:, None] * back)
        parts = [multi_hot(history, self.num_items, row.expand(history.shape).contiguous()) for row in weights]
        return torch.cat(parts, dim=1)


class DecayedLinear(Decayed):
    """Scores ``phi B`` with a full matrix.

    Parameters
    ----------
    weights : ndarray, shape [decays * items, items]
        The matrix ``B``.
    rates : ndarray, shape [decays]
        Loss of weight with every step back.
    """

    weights: Tensor

    def __init__(self, weights: NDArray[Any], rates: NDArray[Any]) -> None:
        super().__init__(weights.shape[1], rates)
        by_rows = np.ascontiguousarray(weights, np.float32)  # else torch copies all of them at every call
        self.register_buffer("weights", torch.from_numpy(by_rows))

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]; of the matrix only the rows of a history's items are read."""
        parts = [self._recent(history, *pair) for pair in enumerate(self.rates.tolist())]
        rows, weights = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        return functional.embedding_bag(rows, self.weights, per_sample_weights=weights, mode="sum")

    def _recent(self, history: Tensor, decay: int, rate: float) -> tuple[Tensor, Tensor]:
        """Return the rows of the items that a decay still counts, and their weights; no single notices the others."""
        columns = history.shape[1]
        kept = columns if rate == 0 else min(columns, int(NEGLIGIBLE / rate) + 1)
        items = history[:, columns - kept :]
        weights = torch.exp(-rate * torch.arange(kept - 1, -1, -1, device=history.device)) * (items < self.num_items)
        return items.clamp(max=self.num_items - 1) + decay * self.num_items, weights


class SparseDecayed(Decayed):
    """Scores ``phi B`` with few numbers in every row of the matrix.

    Parameters
    ----------
    weights : sparse csr array, shape [decays * items, items]
        The matrix ``B``.
    rates : ndarray, shape [decays]
        Loss of weight with every step back.

    Attributes
    ----------
    values : Tensor of float32, shape [weights]
        The numbers, row by row.
    columns, counts : Tensor of int32, shapes [weights] and [decays * items]
        Where they stand.
    """

    values: Tensor
    columns: Tensor
    counts: Tensor

    def __init__(self, weights: sparse.csr_array, rates: NDArray[Any]) -> None:
        super().__init__(weights.shape[1], rates)
        self.register_buffer("values", torch.from_numpy(weights.data.astype(np.float32)))
        self.register_buffer("columns", torch.from_numpy(weights.indices.astype(np.int32)))
        self.register_buffer("counts", torch.from_numpy(np.diff(weights.indptr).astype(np.int32)))

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]: of each history only its own rows are read."""
        starts = torch.cumsum(self.counts, 0, dtype=torch.int64) - self.counts
        rows, inputs, shown = self._entries(history)
        counts = self.counts[inputs].long()
        place = torch.repeat_interleave(starts[inputs] - (counts.cumsum(0) - counts), counts)
        place = place + torch.arange(place.shape[0], device=history.device)
        terms = self.values[place] * torch.repeat_interleave(shown, counts)
        target = torch.repeat_interleave(rows * self.num_items, counts) + self.columns[place]
        flat = torch.zeros(history.shape[0] * self.num_items, device=history.device)
        return flat.scatter_add(0, target, terms).reshape(history.shape[0], self.num_items)

    def _entries(self, history: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return rows, columns and values of what ``hidden`` holds beside zeros, an item at its last place alone."""
        length = history.shape[1]
        keys = torch.sort(history * length + torch.arange(length, device=history.device), dim=1).values
        items, place = torch.div(keys, length, rounding_mode="floor"), keys % length  # stable sorts cannot be exported
        last = torch.cat([items[:, :-1] != items[:, 1:], torch.ones_like(items[:, :1], dtype=torch.bool)], dim=1)
        real = (items < self.num_items) & last
        rows, column = real.nonzero(as_tuple=True)
        item, back = items[rows, column], history.shape[1] - 1 - place[rows, column]
        inputs = [item + decay * self.num_items for decay in range(len(self.rates))]
        return rows.repeat(len(self.rates)), torch.cat(inputs), torch.exp(-self.rates[:, None] * back).reshape(-1)

    def matrix(self) -> sparse.csr_array:
        """Return the matrix ``B``, shape [decays * items, items]."""
        shape = (len(self.counts), self.num_items)
        return sparse.csr_array((self.values.numpy(), self.columns.numpy(), offsets(self.counts.numpy())), shape=shape)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], num_items: int) -> Self:
        """Return the model whose parameters and buffers are given, of any float type."""
        shape = (len(arrays["counts"]), num_items)
        starts = offsets(arrays["counts"])
        weights = sparse.csr_array((arrays["values"].astype(np.float32), arrays["columns"], starts), shape=shape)
        return cls(weights, arrays["rates"])

    def size(self) -> tuple[int, int]:
        """Return the number of weights, and the bytes of all that is stored, their places included."""
        return self.values.numel() + self.rates.numel(), super().size()[1]
