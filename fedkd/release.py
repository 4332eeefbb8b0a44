"""From raw answers to what may leave: coded on the public grid, summed where only the sum is needed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.knowledge import Answers, Grid, Outer, Spec
from fedkd.privacy.ballots import BallotProtection
from fedkd.privacy.protection import OPEN, Protection
from fedkd.ragged import Ragged


def release(answers: Answers, specs: Mapping[str, Spec], protection: Protection = OPEN) -> Answers:
    """Bound, code and sum every client's values, and add the noise that clients add.

    Without protection, clients with non-finite values are refused. Under protection nothing may depend on the data but
    the noised sum, so what is not finite counts as zero.

    Parameters
    ----------
    answers : Answers
        One row per client, as ``learn`` returns them.
    specs : mapping of str to Spec
        What the values must be.
    protection : Protection
        Where noise goes.

    Returns
    -------
    Answers
        Integers where the spec has a grid. ``refused`` names the clients whose values were not finite.
    """
    if isinstance(protection, BallotProtection):
        return replace(answers, values={name: protection.cast(answers.values[name]) for name in specs})
    if protection.active:
        count = len(answers.clients)
        bounded = {name: _coded(clipped(answers.values[name], spec, count), spec) for name, spec in specs.items()}
        return replace(answers, values=protection.share(count, specs, bounded))
    finite = np.ones(len(answers.clients), bool)
    for values in answers.values.values():
        finite &= _finite_clients(values, len(finite))
    kept = np.flatnonzero(finite)
    values = {name: _coded(_take(answers.values[name], kept), spec) for name, spec in specs.items()}
    refused = {} if finite.all() else {"values were not finite": answers.clients[~finite].tolist()}
    return replace(answers, clients=answers.clients[kept], values=values, refused={**answers.refused, **refused})


def clipped(values: Any, spec: Spec, count: int) -> Any:
    """Return values on the spec's grid whose Euclidean norm, client by client, is at most the clip.

    What is not finite becomes zero first. Rounding towards zero never makes a norm larger, so the bound holds exactly
    for the integers. All arithmetic is in double precision, scaled by the largest magnitude, so nothing overflows.

    Parameters
    ----------
    values : ndarray or Outer
        One leading row per client, or factors.
    spec : Spec
        With a clip and a grid.
    count : int
        How many clients.

    Returns
    -------
    ndarray or Outer
        Multiples of the grid's step.
    """
    assert spec.clip is not None
    assert spec.grid is not None
    if isinstance(values, Outer):
        return _clipped_outer(values, spec.clip, spec.grid, count)
    flat = np.asarray(values, np.float64).reshape(count, -1)
    short = _shortened(flat, np.full(count, spec.clip))
    return (np.trunc(short / spec.grid.step) * spec.grid.step).reshape(np.shape(values))


LARGEST = 1e150
"""Right factors from here on count as zero, as what is not finite does: their norm could not be told."""

ROUNDING = 1e-12
"""How much a clip is tightened, so that no floating-point error ever exceeds it."""


def _clipped_outer(values: Outer, clip: float, grid: Grid, count: int) -> Outer:
    """Clip factors: first every row's product, then the sum of a client's rows by the triangle inequality.

    Cross terms would be tighter and could cancel beyond double precision; a client of one user has none.
    """
    right = np.nan_to_num(_dense(values.right), nan=0.0, posinf=0.0, neginf=0.0)
    right *= np.abs(right).max(axis=1, initial=0.0, keepdims=True) < LARGEST  # squares of larger ones overflow
    size = np.linalg.norm(right, axis=1)
    left = _shortened(_dense(values.left), np.divide(clip, size, out=np.zeros_like(size), where=size > 0))
    total = np.bincount(values.owner, np.linalg.norm(left, axis=1) * size, minlength=count)
    factor = np.where(total > clip, (1 - ROUNDING) * clip / np.where(total > 0, total, 1.0), 1.0)[values.owner]
    return Outer(np.trunc(left * factor[:, None] / grid.step) * grid.step, right, values.owner)


def _shortened(rows: NDArray[np.float64], longest: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows scaled down to their greatest norms; what is not finite becomes zero first, nothing overflows."""
    finite = np.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)
    largest = np.abs(finite).max(axis=1, initial=0.0)
    scaled = finite / np.where(largest > 0, largest, 1.0)[:, None]
    norm = np.linalg.norm(scaled, axis=1)
    long = norm > longest / np.where(largest > 0, largest, 1.0)
    factor = np.where(long, (1 - ROUNDING) * longest / np.where(norm > 0, norm, 1.0), largest)
    return np.asarray(scaled * factor[:, None])


def _dense(matrix: Any) -> NDArray[np.float64]:
    return np.asarray(matrix.toarray() if isinstance(matrix, sparse.csr_array) else matrix, np.float64)


def merge(parts: list[Answers], specs: Mapping[str, Spec]) -> Answers:
    """Join the released answers of disjoint chunks of clients into one, the chunks in ascending order."""
    values: dict[str, Any] = {}
    answered = [part for part in parts if len(part.clients)]
    for name, spec in specs.items() if answered else ():
        chunks = [part.values[name] for part in answered]
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
