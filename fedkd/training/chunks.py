"""Groups of clients that are computed together, and the copies of their parameters."""

import copy
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedkd.errors import UserError
from fedkd.models.device import beside
from fedkd.training.examples import Examples, Touched, renumber, tensor_of
from fedkd.training.options import CohortTraining

Parameters = dict[str, Tensor]
"""Parameters of many students by name, each of shape [clients, ...], float32."""

Model = Callable[..., Tensor]
"""One student in the form that a loss takes."""

Loss = Callable[[Model, Mapping[str, Tensor]], Tensor]
"""One student and a batch of its examples -> the loss of each example, shape [batch]."""

CHUNK_BYTES = 16 * 2**20
"""Memory for the copies and intermediate results of one chunk; what fits the processor's cache is faster than more."""

SIMILAR = 0.8
"""The smallest client of a chunk has at least this share of the largest one's examples, so that padding is small."""


def chunks(
    model: nn.Module, examples: Examples, loss: Loss, training: CohortTraining, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[NDArray[np.int64]]:
    """Yield the clients (positions) that are computed together: similar in size, the largest first, within memory.

    A caller that need not keep all students at once can make, train and discard them chunk by chunk.
    """
    lengths = examples.lengths
    order = np.argsort(-lengths, kind="stable")
    if not len(order):
        return
    per_example = bytes_per_example(model, examples.take(order[:1]), loss)
    start = 0
    while start < len(order):
        largest = int(lengths[order[start]])
        room = max(1, chunk_bytes // _bytes_per_client(model, examples, largest, per_example, training))
        similar = int(np.searchsorted(-lengths[order], -SIMILAR * largest, side="right"))
        end = min(start + room, max(similar, start + 1))
        yield order[start:end]
        start = end


def _bytes_per_client(
    model: nn.Module, examples: Examples, length: int, per_example: int, training: CohortTraining
) -> int:
    """Return the memory of a client: parameters, gradients, two moments, intermediate results, order of examples."""
    tables = item_tables(model) if examples.items else {}
    entries = sum(int(np.prod(examples.columns[name].values.shape[1:])) for name in examples.items)
    numbers = 0
    for name, parameter in model.named_parameters():
        size = parameter.numel()
        if name in tables:
            slices = parameter.shape[tables[name]]
            size = size // slices * min(slices, length * entries)
        numbers += size
    return 4 * 4 * numbers + per_example * min(length, training.batch_size) + 8 * training.epochs * length + 1


def bytes_per_example(model: nn.Module, client: Examples, loss: Loss, most: int = 16) -> int:
    """Return the bytes that one example holds between a forward and a backward pass, measured on one client."""
    count = min(most, int(client.lengths[0]))
    if count == 0:
        return 0
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, int] = {}

    def _keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = {name: beside(model, tensor_of(column.values[:count])) for name, column in client.columns.items()}
    with torch.autograd.graph.saved_tensors_hooks(_keep, lambda tensor: tensor):
        result = loss(model, batch)
    del result
    # Gradients of the intermediate results take about as much again.
    return 2 * sum(saved.values()) // count


def item_tables(model: nn.Module) -> Mapping[str, int]:
    """Return the parameters with one slice per item, and their axis of items; a ``UserError`` if none is declared."""
    tables = getattr(model, "item_tables", None)
    if not isinstance(tables, dict) or not isinstance(getattr(model, "num_items", None), int):
        raise UserError(
            f"{type(model).__name__} does not say which of its parameters hold items; got item_tables = {tables!r}; "
            "give it num_items and item_tables = {parameter name: axis}, or name no item columns"
        )
    return tables


def localise(model: nn.Module, examples: Examples) -> tuple[nn.Module, Examples, Touched | None]:
    """Return model and examples over the clients' own items only, or unchanged where no columns hold items."""
    if not examples.items:
        return model, examples, None
    item_tables(model)
    small = copy.copy(model)
    local, touched = renumber(examples, vars(model)["num_items"])
    vars(small)["num_items"] = touched.width
    return small, local, touched


def borrow(model: nn.Module, parameters: Parameters, rows: NDArray[np.int64], touched: Touched | None) -> Parameters:
    """Copy a chunk's part of the stacked parameters, with item tables reduced to ``touched.width`` slices."""
    tables = {} if touched is None else item_tables(model)
    index = torch.from_numpy(rows)
    own = {name: stacked[index] for name, stacked in parameters.items() if name not in tables}
    for name in tables.keys() & parameters.keys():
        assert touched is not None
        own[name] = _slices(parameters[name], tables[name], rows, touched)
    return {name: own[name] for name in parameters}


def _slices(stacked: Tensor, axis: int, rows: NDArray[np.int64], touched: Touched) -> Tensor:
    table = stacked.movedim(axis + 1, 1)
    small = table.new_zeros(len(rows), touched.width, *table.shape[2:])
    client, slot, item = map(torch.from_numpy, (touched.client, touched.slot, touched.item))
    small[client, slot] = table[torch.from_numpy(rows[touched.client]), item]
    return small.movedim(1, axis + 1).contiguous()


def give_back(
    model: nn.Module, parameters: Parameters, rows: NDArray[np.int64], touched: Touched | None, own: Parameters
) -> None:
    """Write a chunk's parameters to where they were borrowed from."""
    tables = {} if touched is None else item_tables(model)
    for name, stacked in parameters.items():
        if touched is None or name not in tables:
            stacked[torch.from_numpy(rows)] = own[name]
            continue
        client, slot, item = map(torch.from_numpy, (touched.client, touched.slot, touched.item))
        target, source = (t.movedim(tables[name] + 1, 1) for t in (stacked, own[name]))
        target[torch.from_numpy(rows[touched.client]), item] = source[client, slot]
