"""Training examples of many clients, and the rectangles that a batched computation sees of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedkd.ragged import Ragged, offsets


@dataclass(frozen=True)
class Examples:
    """Training examples of many clients: named columns, one row a client, one value (of any shape) an example.

    Attributes
    ----------
    columns : mapping of str to Ragged
        All with equal row lengths. Floats are trained on as float32, whole numbers as int64.
    items : tuple of str
        Columns that hold item positions. When any are named, a client copies only the item slices that occur in them,
        and sees them renumbered; the model must then score what it is asked for and not the whole catalogue.
        Empty for losses over the whole catalogue.
    histories : tuple of str
        Columns that hold items of the whole catalogue, padded with its size.
    """

    columns: Mapping[str, Ragged]
    items: tuple[str, ...] = ()
    histories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("examples need at least one column")
        if any(not np.array_equal(column.indptr, self._first.indptr) for column in self.columns.values()):
            raise ValueError(f"columns {', '.join(self.columns)} must have equal row lengths")

    @property
    def _first(self) -> Ragged:
        return next(iter(self.columns.values()))

    def __len__(self) -> int:
        return len(self._first)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of examples of every client, shape [clients]."""
        return self._first.lengths

    def take(self, clients: NDArray[np.int64]) -> "Examples":
        """Return the chosen clients (positions), in the order given."""
        return replace(self, columns={name: column.take(clients) for name, column in self.columns.items()})


@dataclass(frozen=True)
class Touched:
    """The item slices that the clients of a chunk copy.

    Attributes
    ----------
    client, item, slot : ndarray of int64, shape [touched]
        Row in the chunk, item position, and the number by which the client knows the item.
    width : int
        The largest number of items that a client touches; also the number that pads histories.
    """

    client: NDArray[np.int64]
    item: NDArray[np.int64]
    slot: NDArray[np.int64]
    width: int


def renumber(examples: Examples, num_items: int) -> tuple[Examples, Touched]:
    """Give every client's items numbers from 0, and return both; ``num_items`` (padding) becomes ``width``."""
    flat = {name: np.asarray(examples.columns[name].values, np.int64) for name in examples.items}
    for name, values in flat.items():
        if values.min(initial=0) < 0 or values.max(initial=0) > num_items:
            raise ValueError(f"column {name} must hold items 0..{num_items - 1}, or {num_items} for padding")
    owner = examples._first.row_index
    keys = [np.broadcast_to(_tall(owner, v.ndim), v.shape).ravel() * (num_items + 1) + v.ravel() for v in flat.values()]
    unique, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    client, item = np.divmod(unique, num_items + 1)
    real = item < num_items
    counts = np.bincount(client[real], minlength=len(examples))
    width = max(1, int(counts.max(initial=0)))
    # Padding sorts last among a client's items, so real items are numbered without gaps.
    slot = np.arange(len(unique)) - np.searchsorted(client, client, side="left")
    numbers = np.split(np.where(real, slot, width)[inverse], np.cumsum([v.size for v in flat.values()])[:-1])
    columns = dict(examples.columns)
    for (name, values), number in zip(flat.items(), numbers, strict=True):
        columns[name] = Ragged(number.reshape(values.shape), columns[name].indptr)
    return Examples(columns, examples.items), Touched(client[real], item[real], slot[real], width)


def _tall(vector: NDArray[np.int64], ndim: int) -> NDArray[np.int64]:
    return vector.reshape(-1, *[1] * (ndim - 1))


@dataclass(frozen=True)
class Batch:
    """One optimiser step of the clients that still have one: the first rows of a chunk.

    Attributes
    ----------
    columns : dict of str to Tensor, shape [active, width, ...]
        The examples, padded with arbitrary ones of weight 0.
    weight : Tensor of float32, shape [active, width]
        One over the client's batch size, or 0 for padding.
    epoch : ndarray of int64, shape [active]
        The epoch that each client is in.
    share : ndarray of float64, shape [active]
        Batch size over the client's number of examples.
    """

    columns: dict[str, Tensor]
    weight: Tensor
    epoch: NDArray[np.int64]
    share: NDArray[np.float64]

    def at(self, place: torch.device) -> "Batch":
        """Return the batch with its tensors at a place."""
        return replace(self, columns={n: c.to(place) for n, c in self.columns.items()}, weight=self.weight.to(place))


def batches(
    examples: Examples, epochs: int, batch_size: int, streams: Sequence[np.random.Generator]
) -> Iterator[Batch]:
    """Yield the steps of a chunk whose clients are ordered by falling number of examples.

    Every client walks through its own epochs at its own pace, exactly as if it were alone; one that has finished is
    absent from later batches.
    """
    lengths = examples.lengths
    steps = -(-lengths // batch_size)
    order = shuffled(lengths, epochs, batch_size, streams)
    columns = {name: tensor_of(column.values) for name, column in examples.columns.items()}
    epoch, number = np.divmod(np.arange(int(epochs * steps.max(initial=0))), np.maximum(steps, 1)[:, None])
    sizes = np.clip(lengths[:, None] - number * batch_size, 0, batch_size)
    first = epochs * examples._first.indptr[:-1, None] + epoch * lengths[:, None] + number * batch_size
    for step in range(epoch.shape[1]):
        active = int(np.count_nonzero(epochs * steps > step))
        size = sizes[:active, step, None]
        inside = np.arange(int(size.max()))
        rows = order.take(first[:active, step, None] + inside, mode="clip")
        flat = torch.from_numpy(rows.ravel())
        yield Batch(
            {name: c.index_select(0, flat).view(*rows.shape, *c.shape[1:]) for name, c in columns.items()},
            torch.from_numpy((inside < size) * (np.float32(1) / size.astype(np.float32))),
            epoch[:active, step],
            size[:, 0] / lengths[:active],
        )


def shuffled(
    lengths: NDArray[np.int64], epochs: int, batch_size: int, streams: Sequence[np.random.Generator]
) -> NDArray[np.int64]:
    """Return the order in which every client sees its examples: positions in the flat columns, epoch after epoch.

    A client whose examples fit one batch draws nothing, for the order inside a batch does not matter.
    """
    out = np.empty(epochs * int(lengths.sum()), np.int64)
    for first, length, generator in zip(offsets(lengths)[:-1], lengths, streams, strict=True):
        rows = np.arange(first, first + length)
        out[epochs * first : epochs * (first + length)] = np.concatenate(
            [generator.permutation(rows) if length > batch_size else rows for _ in range(epochs)]
        )
    return out


def tensor_of(values: NDArray[Any]) -> Tensor:
    """Return an array as the float32 or int64 tensor that models take."""
    return torch.from_numpy(np.ascontiguousarray(values, np.float32 if values.dtype.kind == "f" else np.int64))
