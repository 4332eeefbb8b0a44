"""From raw answers to what may leave: coded on the public grid, summed where only the sum is needed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.knowledge import Answers, Grid, Outer, Spec
from fedkd.ragged import Ragged


def release(answers: Answers, specs: Mapping[str, Spec]) -> Answers:
    """Code every client's values on their grid and sum what sums; clients with non-finite values are refused.

    Parameters
    ----------
    answers : Answers
        One row per client, as ``learn`` returns them.
    specs : mapping of str to Spec
        What the values must be.

    Returns
    -------
    Answers
        Integers where the spec has a grid. ``refused`` names the clients whose values were not finite.
    """
    finite = np.ones(len(answers.clients), bool)
    for values in answers.values.values():
        finite &= _finite_clients(values, len(finite))
    kept = np.flatnonzero(finite)
    values = {name: _coded(_take(answers.values[name], kept), spec) for name, spec in specs.items()}
    refused = {} if finite.all() else {"values were not finite": answers.clients[~finite].tolist()}
    return replace(answers, clients=answers.clients[kept], values=values, refused={**answers.refused, **refused})


def merge(parts: list[Answers], specs: Mapping[str, Spec]) -> Answers:
    """Join the released answers of disjoint chunks of clients into one, the chunks in ascending order."""
    values: dict[str, Any] = {}
    for name, spec in specs.items():
        chunks = [part.values[name] for part in parts]
        if spec.sums:
            values[name] = np.sum(chunks, axis=0)
        elif isinstance(chunks[0], Ragged):
            lengths = np.concatenate([chunk.lengths for chunk in chunks])
            flat = np.concatenate([chunk.values for chunk in chunks])
            values[name] = Ragged(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
        else:
            values[name] = np.concatenate(chunks)
    refused: dict[str, list[int]] = {}
    for part in parts:
        for reason, who in part.refused.items():
            refused.setdefault(reason, []).extend(who)
    clients = np.concatenate([part.clients for part in parts])
    return replace(parts[0], clients=clients, values=values, refused=refused)


def _data(matrix: Any) -> NDArray[Any]:
    return np.asarray(matrix.data if isinstance(matrix, sparse.csr_array) else matrix)


def _finite_clients(values: Any, count: int) -> NDArray[np.bool_]:
    """Which clients' values are all finite, shape [clients]."""
    if isinstance(values, Outer):
        bad = np.zeros(count, bool)
        for factor in (values.left, values.right):
            if not np.isfinite(_data(factor)).all():
                rows = ~np.isfinite(np.asarray(factor.sum(axis=1)).ravel())
                bad[values.owner[rows]] = True
        return ~bad
    if isinstance(values, Ragged):
        broken = ~np.isfinite(values.values.reshape(len(values.values), -1)).all(axis=1)
        return np.asarray(np.bincount(values.row_index[broken], minlength=count) == 0)
    return np.asarray(np.isfinite(values.reshape(count, -1)).all(axis=1))


def _take(values: Any, clients: NDArray[np.int64]) -> Any:
    if isinstance(values, Outer):
        position = np.full(int(values.owner.max(initial=-1)) + 1, -1)
        position[clients[clients < len(position)]] = np.flatnonzero(clients < len(position))
        rows = np.flatnonzero(position[values.owner] >= 0)
        return Outer(values.left[rows], values.right[rows], position[values.owner[rows]])
    return values.take(clients) if isinstance(values, Ragged) else values[clients]


def _coded(values: Any, spec: Spec) -> Any:
    if spec.grid is not None:
        values = _on_grid(values, spec.grid)
    if not spec.sums:
        return values
    if isinstance(values, Outer):
        return values.total().reshape(spec.shape)
    return values.sum(axis=0, dtype=np.int64 if spec.grid is not None else np.float64)


def _on_grid(values: Any, grid: Grid) -> Any:
    """Round to the nearest multiple of the step, as whole numbers within the grid's bounds.

    An ``Outer`` with a right factor of zeros and ones is rounded in its left factor: the products are the same.
    """
    if isinstance(values, Outer):
        if not np.isin(_data(values.right), (0, 1)).all():
            raise ValueError("an outer product can be coded only if its right factor holds zeros and ones")
        left = values.left.copy()
        if isinstance(left, sparse.csr_array):
            left.data = _round(left.data, grid)
        else:
            left = _round(left, grid)
        return Outer(left, values.right.astype(np.int64), values.owner)
    return _round(values, grid)


def _round(values: NDArray[Any], grid: Grid) -> NDArray[np.int64]:
    return np.clip(np.rint(np.asarray(values, np.float64) / grid.step), grid.low, grid.high).astype(np.int64)
