"""From raw answers to what may leave: coded on the public grid, summed where only the sum is needed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.aggregation.quantisation import coded, stored
from fedkd.errors import UserError
from fedkd.messages.types import Answers, Outer, Spec
from fedkd.privacy.mechanism import OPEN, Protection
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

    Raises
    ------
    UserError
        A sum has another shape than its spec, for which noise was planned.
    """
    if protection.active:
        return replace(answers, values=_of_shape(protection.contribution(answers, specs), specs))
    finite = np.ones(len(answers.clients), bool)
    for values in answers.values.values():
        finite &= _finite_clients(values, len(finite))
    kept = np.flatnonzero(finite)
    values = _of_shape({name: coded(_take(answers.values[name], kept), spec) for name, spec in specs.items()}, specs)
    refused = {} if finite.all() else {"values were not finite": answers.clients[~finite].tolist()}
    return replace(answers, clients=answers.clients[kept], values=values, refused={**answers.refused, **refused})


def _of_shape(values: dict[str, Any], specs: Mapping[str, Spec]) -> dict[str, Any]:
    """Return sums that look as asked for; one number too many would stand under another's noise."""
    for name, spec in specs.items():
        if spec.sums and np.shape(values[name]) != spec.shape:
            raise UserError(f"{name} has the shape {np.shape(values[name])}, and {spec.shape} was asked for")
    return values


def without_infinities(answers: Answers) -> Answers:
    """Return raw answers in which zero stands for what is not finite: who refused would say something of the data."""
    return replace(answers, values={name: _finite(values) for name, values in answers.values.items()})


def _finite(values: Any) -> Any:
    if isinstance(values, Outer):
        return Outer(_finite(values.left), _finite(values.right), values.owner)
    if isinstance(values, sparse.csr_array):
        return sparse.csr_array((_finite(values.data), values.indices, values.indptr), shape=values.shape)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def merge(parts: list[Answers], specs: Mapping[str, Spec]) -> Answers:
    """Join the released answers of disjoint chunks of clients into one, the chunks in ascending order."""
    values: dict[str, Any] = {}
    answered = [part for part in parts if len(part.clients)]
    for name, spec in specs.items() if answered else ():
        chunks = [part.values[name] for part in answered]
        if spec.sums:
            values[name] = np.sum(chunks, axis=0)
        elif isinstance(chunks[0], Ragged):
            values[name] = Ragged.concatenate(chunks)
        else:
            values[name] = np.concatenate(chunks)
    refused: dict[str, list[int]] = {}
    for part in parts:
        for reason, who in part.refused.items():
            refused.setdefault(reason, []).extend(who)
    clients = np.concatenate([part.clients for part in parts])
    return replace(parts[0], clients=clients, values=values, refused=refused)


def _finite_clients(values: Any, count: int) -> NDArray[np.bool_]:
    """Which clients' values are all finite, shape [clients]."""
    if isinstance(values, Outer):
        bad = np.zeros(count, bool)
        for factor in (values.left, values.right):
            if not np.isfinite(stored(factor)).all():
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
