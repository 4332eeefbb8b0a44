"""The exact sum of clients' answers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.aggregation.aggregator import Aggregator, Specs, checked
from fedkd.aggregation.quantisation import in_units, quantised, stored, summed
from fedkd.messages.missing import Missing
from fedkd.messages.types import Answers, Estimate, Estimates, Kind, LowRankUpdate, SparseUpdate, Spec
from fedkd.ragged import Ragged

WEIGHT = "weight"
"""Name of the sum of the clients' weights in an answer."""


@dataclass(frozen=True)
class Sum(Aggregator):
    """The exact sum of answers, weighted by client, or all rows side by side where answers do not sum.

    Attributes
    ----------
    plain : mapping of str to Spec
        The form of a raw answer.
    """

    plain: Specs

    @property
    def specs(self) -> Specs:
        """The form of an encoded answer; with a weighted array the sum of the weights travels too."""
        weighted = any(spec.weighted for spec in self.plain.values())
        return {**self.plain, WEIGHT: Spec(Kind.STATISTICS, ())} if weighted else self.plain

    def encode(self, answers: Answers) -> Answers:
        """Weight, code and sum the values of clients whose values are all finite, and refuse the others."""
        if not len(answers.clients):
            return answers
        finite = np.ones(len(answers.clients), bool)
        for values in answers.values.values():
            finite &= finite_clients(values, len(finite))
        kept = np.flatnonzero(finite)
        rows = {name: _take(values, kept) for name, values in self._weighed(answers).items()}
        values = checked({name: summed(quantised(rows[name], spec), spec) for name, spec in self.specs.items()}, self)
        broken = {} if finite.all() else {Missing.NOT_FINITE: answers.clients[~finite].tolist()}
        refused = {**answers.refused, **broken}
        return replace(answers, clients=answers.clients[kept], values=values, refused=refused, weights=None)

    def decode(self, total: Answers) -> Estimates:
        """Return the sums in the units of the answers."""
        values = {name: Estimate(in_units(total.values[name], spec)) for name, spec in self.plain.items()}
        weight = float(total.values[WEIGHT]) if WEIGHT in self.specs else float(len(total.clients))
        return Estimates(total.round, total.clients, values, weight)

    def _weighed(self, answers: Answers) -> Mapping[str, Any]:
        if WEIGHT not in self.specs:
            return answers.values
        weights = np.ones(len(answers.clients)) if answers.weights is None else answers.weights
        return {
            name: _times(answers.values[name], weights) if spec.weighted else answers.values[name]
            for name, spec in self.plain.items()
        } | {WEIGHT: weights}


def finite_clients(values: Any, count: int) -> NDArray[np.bool_]:
    """Return whether the values of every client are all finite, shape [clients]."""
    if isinstance(values, LowRankUpdate):
        bad = np.zeros(count, bool)
        for factor in (values.left, values.right):
            if not np.isfinite(stored(factor)).all():
                rows = ~np.isfinite(np.asarray(factor.sum(axis=1)).ravel())
                bad[values.owner[rows]] = True
        return ~bad
    if isinstance(values, SparseUpdate):
        return np.asarray(np.bincount(values.owner[~np.isfinite(values.value)], minlength=count) == 0)
    if isinstance(values, Ragged):
        broken = ~np.isfinite(values.values.reshape(len(values.values), -1)).all(axis=1)
        return np.asarray(np.bincount(values.row_index[broken], minlength=count) == 0)
    return np.asarray(np.isfinite(values.reshape(count, -1)).all(axis=1))


def _times(values: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[Any]:
    return np.asarray(values * weights.reshape(-1, *[1] * (values.ndim - 1)).astype(values.dtype))


def _take(values: Any, clients: NDArray[np.int64]) -> Any:
    if isinstance(values, LowRankUpdate):
        owner = _places(values.owner, clients)
        rows = np.flatnonzero(owner >= 0)
        return LowRankUpdate(values.left[rows], values.right[rows], owner[rows])
    if isinstance(values, SparseUpdate):
        owner = _places(values.owner, clients)
        return replace(values, owner=owner).where(owner >= 0)
    return values.take(clients) if isinstance(values, Ragged) else values[clients]


def _places(owner: NDArray[np.int64], clients: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of every owner among some clients, or -1."""
    place = np.full(int(owner.max(initial=-1)) + 1, -1)
    known = clients < len(place)
    place[clients[known]] = np.flatnonzero(known)
    return np.asarray(place[owner])
