"""The base of every recommender, a function from histories to scores of the whole catalogue, and of its settings."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.models.arrays import stored_tensors
from fedkd.models.device import computing
from fedkd.ragged import Ragged
from fedkd.registry import Choice


class Recommender(nn.Module, ABC):
    """A history in, a score for every item out; no user ids, so strangers are served at once.

    A model that declares item tables takes the size of the catalogue from them, never from ``num_items``: swapped for
    some of their slices (and histories renumbered), the same module works on a part of the catalogue.

    Parameters
    ----------
    num_items : int
        Size of the catalogue. The number ``num_items`` itself pads histories (on the left).

    Attributes
    ----------
    item_tables : dict of str to int
        Names of the parameters that hold one slice per item, with the axis that counts items. Local training copies
        only the slices that a client touches.
    layers : tuple of int
        Layers whose features can be chosen, beside those of ``hidden``.
    """

    item_tables: ClassVar[dict[str, int]] = {}
    layers: ClassVar[tuple[int, ...]] = ()

    def __init__(self, num_items: int) -> None:
        super().__init__()
        self.num_items = num_items

    @abstractmethod
    def hidden(self, history: Tensor) -> Tensor:
        """Return the intermediate features that feature distillation compares.

        Parameters
        ----------
        history : Tensor of int64, shape [batch, length]
            Item positions, oldest first, padded on the left with ``num_items``.

        Returns
        -------
        Tensor, shape [batch, features]
        """

    def features(self, history: Tensor, layer: int | None = None) -> Tensor:
        """Return the features of a chosen layer, for a student to imitate.

        Parameters
        ----------
        history : Tensor of int64, shape [batch, length]
            Histories, padded on the left.
        layer : int, optional
            One of ``layers``; without it the features are those that ``hidden`` returns.

        Returns
        -------
        Tensor, shape [batch, 1, features]

        Raises
        ------
        UserError
            If the model has no such layer.
        """
        if layer is None:
            return self.hidden(history).unsqueeze(-2)
        maps = self.positions(history, layer)
        count = (history[:, -maps.shape[-2] :] < self.num_items).to(maps.dtype).sum(-1).clamp(min=1.0)
        return (maps.sum(-2) / count.unsqueeze(-1)).unsqueeze(-2)

    def positions(self, history: Tensor, layer: int | None = None) -> Tensor:
        """Return the features of a chosen layer at the most recent positions of a history.

        Models whose layers have positions define it; ``features`` is the mean over the items of a history.

        Parameters
        ----------
        history : Tensor of int64, shape [batch, length]
            Histories, padded on the left.
        layer : int, optional
            One of ``layers``.

        Returns
        -------
        Tensor, shape [batch, positions, features]
            Zero at padding.

        Raises
        ------
        UserError
            If the model has no such layer.
        """
        del history
        has = f"it has {', '.join(map(str, self.layers))}" if self.layers else "it has none to choose, leave it out"
        raise UserError(f"{type(self).__name__} has no layer {layer} to distil; {has}")

    @abstractmethod
    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items], for histories of shape [batch, length]."""

    def scores_after(self, history: Tensor, places: Tensor) -> Tensor:
        """Return the scores after some parts of every history, each from its oldest item to a place.

        Models that compute the states of all places at once override it. One that numbers places from the end of a
        history says there what it says in training, not what it says of the part alone.

        Parameters
        ----------
        history : Tensor of int64, shape [batch, columns]
            Histories, padded on the left.
        places : Tensor of int64, shape [batch, parts]
            Columns of the most recent items; of the last ``reach`` ones where the model looks at no more.

        Returns
        -------
        Tensor, shape [batch, parts, items]
        """
        scores: Tensor = self(parts_of(history, places, self.num_items))
        return scores.reshape(*places.shape, -1)

    @property
    def reach(self) -> int | None:
        """The most recent items of a history that are looked at; None where all are."""
        return None

    def uncounted_flops(self, history: Tensor) -> int:
        """Return the multiplications and additions of ``forward`` that torch does not do; see `fedkd.models.flops`."""
        del history
        return 0

    def size(self) -> tuple[int, int]:
        """Return the number of stored numbers and their bytes, item tables and buffers included."""
        tensors = list(stored_tensors(self).values())
        return sum(t.numel() for t in tensors), sum(t.numel() * t.element_size() for t in tensors)


class ModelConfig(Choice, ABC):
    """Settings of a family of trainable recommenders; a class of its own for each, above its model in the same file.

    Attributes
    ----------
    family : str
        The family's name in a configuration.
    """

    key: ClassVar[str] = "family"
    family: str

    @abstractmethod
    def untrained(self, catalogue: Catalogue) -> Recommender:
        """Return a new model of these settings, its first numbers drawn from torch's own generator."""

    def build(self, catalogue: Catalogue, seed: int) -> Recommender:
        """Return an untrained model; equal seeds give equal numbers, torch's own generator stays untouched."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.untrained(catalogue)


def multi_hot(history: Tensor, num_items: int, weights: Tensor | None = None) -> Tensor:
    """Return histories as a matrix, shape [batch, items]; padding vanishes.

    Parameters
    ----------
    history : Tensor of int64, shape [batch, length]
        Padded with ``num_items``.
    num_items : int
        Columns.
    weights : Tensor, shape [batch, length], optional
        What to write at the items, instead of 1.
    """
    ones = torch.ones(history.shape, device=history.device) if weights is None else weights
    zeros = torch.zeros(history.shape[0], num_items + 1, dtype=ones.dtype, device=history.device)
    return zeros.scatter(1, history, ones)[:, :num_items]


def parts_of(history: Tensor, places: Tensor, num_items: int) -> Tensor:
    """Return parts of histories, each from the oldest item to a place, padded on the left.

    Parameters
    ----------
    history : Tensor of int64, shape [batch, columns]
        Padded on the left with ``num_items``.
    places : Tensor of int64, shape [batch, parts]
        Columns of the most recent items.
    num_items : int

    Returns
    -------
    Tensor of int64, shape [batch * parts, columns]
        The parts of a history one after the other.
    """
    last = history.shape[1] - 1
    source = torch.arange(last + 1, device=history.device) + (places - last).flatten().unsqueeze(1)
    found = history.repeat_interleave(places.shape[1], 0).gather(1, source.clamp(min=0))
    return found.masked_fill(source < 0, num_items)


def at_places(states: Tensor, places: Tensor, columns: int) -> Tensor:
    """Return the states at some places of histories.

    Parameters
    ----------
    states : Tensor, shape [batch, positions, width]
        Of the last positions.
    places : Tensor of int64, shape [batch, parts]
        Columns of the histories.
    columns : int
        Columns that the histories have.

    Returns
    -------
    Tensor, shape [batch, parts, width]
    """
    rows = (places - (columns - states.shape[1])).unsqueeze(-1)
    return states.gather(1, rows.expand(-1, -1, states.shape[-1]))


def lookup(table: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
    """Return the table's row of every history item, and which items are real.

    Parameters
    ----------
    table : Tensor, shape [items, width]
        One row per item; the position ``items`` means padding.
    history : Tensor of int64, shape [batch, length]

    Returns
    -------
    rows : Tensor, shape [batch, length, width]
        What stands at padding is of no meaning.
    real : Tensor, shape [batch, length, 1]
        1 at items, 0 at padding, in the table's type.
    """
    real = (history < len(table)).to(table.dtype).unsqueeze(-1)
    return functional.embedding(history.clamp(max=len(table) - 1), table), real


def row_sums(table: Tensor, history: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the sum of a table's rows over the items of every history, shape [batch, width]; each item counts once.

    Parameters
    ----------
    table : Tensor, shape [items, width]
        One row per item; the position ``items`` means padding.
    history : Tensor of int64, shape [batch, length]
    weights : Tensor, shape [items], optional
        Factors of the rows.
    """
    items, real = distinct(history, len(table))
    factors = real.to(table.dtype) if weights is None else weights[items] * real
    return functional.embedding_bag(items, table, per_sample_weights=factors, mode="sum")


def distinct(history: Tensor, num_items: int) -> tuple[Tensor, Tensor]:
    """Return histories with their items in ascending order, and which entries count: no padding, no item twice.

    What stands at an entry that does not count is a position of the table all the same.
    """
    items = history.sort(dim=1).values
    fresh = functional.pad(items[:, 1:] != items[:, :-1], (1, 0), value=True)
    return items.clamp(max=num_items - 1), fresh & (items < num_items)


def padded_histories(histories: Ragged, num_items: int, length: int | None = None) -> Tensor:
    """Return ragged histories as a model's input, int64 of shape [rows, length]."""
    return torch.from_numpy(histories.padded(num_items, length).astype(np.int64))


@torch.no_grad()
def score(model: Recommender, histories: Ragged, batch_size: int = 512) -> NDArray[np.float32]:
    """Return the scores of all histories, shape [rows, items], computed in batches of similar length."""
    model.eval()
    out = np.empty((len(histories), model.num_items), np.float32)
    order = np.argsort(histories.lengths, kind="stable")
    with computing(model) as device:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            out[rows] = model(padded_histories(histories.take(rows), model.num_items).to(device)).cpu().numpy()
    return out
