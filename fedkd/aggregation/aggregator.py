"""The way of an answer from a client's model to the server's estimate, as objects that nest.

A secure sum of noised, clipped answers is ``Masked(Noised(specs, mechanism), participants)``; nesting aggregations is
an idea of TensorFlow Federated (Bonawitz et al., Towards federated learning at scale, MLSys 2019).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.aggregation.quantisation import quantised, stored, summed
from fedkd.errors import UserError
from fedkd.messages.missing import Missing
from fedkd.messages.types import Answers, Estimate, Estimates, Kind, LowRankUpdate, Quantiser, Spec
from fedkd.ragged import Ragged

Specs = Mapping[str, Spec]

WEIGHT = "weight"
"""Name under which the sum of the clients' weights travels."""


class Aggregator(ABC):
    """One kind of answer's way; clients and server hold equal aggregators."""

    @property
    @abstractmethod
    def specs(self) -> Specs:
        """The form of an encoded answer."""

    @property
    def quorum(self) -> int:
        """Fewest clients whose sum may be used."""
        return 1

    @abstractmethod
    def encode(self, answers: Answers) -> Answers:
        """Clients: return what leaves a group of them together, from one row of raw values for each.

        Raises
        ------
        UserError
            A sum has another shape than its spec.
        """

    @abstractmethod
    def decode(self, total: Answers) -> Estimates:
        """Server: return the estimates that a merged, encoded answer gives; called once for each sum."""

    def merge(self, parts: Sequence[Answers]) -> Answers:
        """Anywhere: join encoded answers of disjoint groups of clients, the groups in ascending order."""
        values: dict[str, Any] = {}
        answered = [part for part in parts if len(part.clients)]
        for name, spec in self.specs.items() if answered else ():
            values[name] = _joined([part.values[name] for part in answered], spec)
        refused: dict[Missing, list[int]] = {}
        for part in parts:
            for reason, names in part.refused.items():
                refused.setdefault(reason, []).extend(names)
        clients = np.concatenate([part.clients for part in parts])
        return replace(parts[0], clients=clients, values=values, refused=refused)


@dataclass(frozen=True)
class Sum(Aggregator):
    """The exact sum of answers, each as heavy as its client, or all rows side by side where answers do not sum.

    Attributes
    ----------
    plain : mapping of str to Spec
        The form of a raw answer.
    """

    plain: Specs

    @property
    def specs(self) -> Specs:
        """The form of an encoded answer; where any array is weighted, the weights' sum travels beside."""
        weighted = any(spec.weighted for spec in self.plain.values())
        return {**self.plain, WEIGHT: Spec(Kind.STATISTICS, ())} if weighted else self.plain

    def encode(self, answers: Answers) -> Answers:
        """Weigh, code and sum the values of the clients whose values are all finite, and refuse the others."""
        finite = np.ones(len(answers.clients), bool)
        for values in answers.values.values():
            finite &= finite_clients(values, len(finite))
        kept = np.flatnonzero(finite)
        rows = {name: _take(values, kept) for name, values in self._weighed(answers).items()}
        values = checked({name: summed(quantised(rows[name], spec), spec) for name, spec in self.specs.items()}, self)
        refused = {} if finite.all() else {Missing.NOT_FINITE: answers.clients[~finite].tolist()}
        return replace(answers, clients=answers.clients[kept], values=values, refused=refused, weights=None)

    def decode(self, total: Answers) -> Estimates:
        """Return the sums as they are."""
        values = {name: Estimate(total.values[name]) for name in self.plain}
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


class Mechanism(Protocol):
    """The part of a privacy mechanism that noises sums (`fedkd.privacy.mechanisms`)."""

    @property
    def participants(self) -> int:
        """Clients asked in a round."""

    @property
    def noise(self) -> float:
        """Standard deviation of the noise on a sum, over the clip."""

    @property
    def quorum(self) -> int:
        """Fewest answers whose sum carries all the noise."""

    def specs(self, plain: Specs) -> Specs:
        """Return the form of an answer that the mechanism bounds."""

    def contribution(self, values: Any, spec: Spec, count: int) -> Any:
        """Return the sum of some clients' values, bounded, coded, and with the noise that clients add."""

    def released(self, total: Any, spec: Spec, count: int) -> NDArray[Any]:
        """Return the sum of ``count`` clients in the units of the answers, with the noise that the server adds."""


@dataclass(frozen=True)
class Noised(Aggregator):
    """The sum of bounded answers under a privacy mechanism; all clients weigh the same.

    Attributes
    ----------
    plain : mapping of str to Spec
        The form of a raw answer: one array with a clip.
    mechanism : Mechanism
        Clipping and noise.
    """

    plain: Specs
    mechanism: Mechanism

    @property
    def specs(self) -> Specs:
        """The form of an encoded answer."""
        return self.mechanism.specs(self.plain)

    @property
    def quorum(self) -> int:
        """Fewest clients whose sum carries all its noise."""
        return self.mechanism.quorum

    def encode(self, answers: Answers) -> Answers:
        """Bound, code and sum the values, with the clients' noise; nothing else may depend on the data.

        What is not finite counts as zero.
        """
        count = len(answers.clients)
        values = {name: self.mechanism.contribution(answers.values[name], s, count) for name, s in self.specs.items()}
        return replace(answers, values=checked(values, self), weights=None)

    def decode(self, total: Answers) -> Estimates:
        """Add the server's noise, and say how much noise there is."""
        released, count = self.mechanism.released, len(total.clients)
        values = {
            name: Estimate(released(total.values[name], spec, count), self.mechanism.noise * (spec.clip or 1.0))
            for name, spec in self.specs.items()
        }
        return Estimates(total.round, total.clients, values, float(self.mechanism.participants))


MASKED_BITS = 56
"""Bits of the modulus of masked sums of floats."""


@dataclass(frozen=True)
class Masked(Aggregator):
    """Answers for a secure sum: whole numbers alone, as masks hide nothing else.

    A float becomes a multiple of the clip (or 1) over 2**24. It is cut where sums of all could wrap around, at some
    100,000 clips among 10,000 clients.

    Attributes
    ----------
    inner : Aggregator
        What happens before the masks and after them.
    participants : int
        Clients asked in a round.
    """

    inner: Aggregator
    participants: int

    @property
    def specs(self) -> Specs:
        """The form of an encoded answer."""
        return {
            name: spec if spec.quantiser is not None else replace(spec, quantiser=self._quantiser(spec))
            for name, spec in self.inner.specs.items()
        }

    @property
    def quorum(self) -> int:
        """Fewest clients whose sum may be used."""
        return self.inner.quorum

    def encode(self, answers: Answers) -> Answers:
        """Encode, and round what is no whole number yet."""
        done, specs = self.inner.encode(answers), self.specs
        values = {
            name: value if self.inner.specs[name].quantiser is not None else quantised(value, specs[name])
            for name, value in done.values.items()
        }
        return replace(done, values=values)

    def decode(self, total: Answers) -> Estimates:
        """Return to the units of the answers, and decode."""
        values = {name: self._read(name, total.values[name]) for name in self.specs}
        return self.inner.decode(replace(total, values=values))

    def _quantiser(self, spec: Spec) -> Quantiser:
        limit = (1 << MASKED_BITS - 2) // self.participants
        return Quantiser((spec.clip or 1.0) * 2.0**-24, -limit, limit, MASKED_BITS)

    def _read(self, name: str, opened: NDArray[np.int64]) -> NDArray[Any]:
        quantiser = self.specs[name].quantiser
        assert quantiser is not None
        whole = opened if quantiser.signed else opened % (1 << quantiser.bits)
        return whole if self.inner.specs[name].quantiser is not None else whole * quantiser.step


def checked(values: dict[str, Any], aggregator: Aggregator) -> dict[str, Any]:
    """Return sums that have the shape of their specs; one number too many would stand under another's noise."""
    for name, spec in aggregator.specs.items():
        if spec.sums and np.shape(values[name]) != spec.shape:
            raise UserError(f"{name} has the shape {np.shape(values[name])}, and {spec.shape} was asked for")
    return values


def without_infinities(answers: Answers) -> Answers:
    """Return raw answers in which zero stands for what is not finite: a refusal would say something of the data."""
    return replace(answers, values={name: _finite(values) for name, values in answers.values.items()})


def finite_clients(values: Any, count: int) -> NDArray[np.bool_]:
    """Return whether the values of every client are all finite, shape [clients]."""
    if isinstance(values, LowRankUpdate):
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


def _joined(chunks: list[Any], spec: Spec) -> Any:
    if spec.sums:  # floats are added in double precision, one group after the other
        total = np.asarray(chunks[0], None if spec.quantiser is not None else np.float64)
        for chunk in chunks[1:]:
            total = total + chunk
        return total
    if isinstance(chunks[0], Ragged):
        return Ragged.concatenate(chunks)
    return np.concatenate(chunks)


def _finite(values: Any) -> Any:
    if isinstance(values, LowRankUpdate):
        return LowRankUpdate(_finite(values.left), _finite(values.right), values.owner)
    if isinstance(values, sparse.csr_array):
        return sparse.csr_array((_finite(values.data), values.indices, values.indptr), shape=values.shape)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _times(values: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[Any]:
    return np.asarray(values * weights.reshape(-1, *[1] * (values.ndim - 1)).astype(values.dtype))


def _take(values: Any, clients: NDArray[np.int64]) -> Any:
    if isinstance(values, LowRankUpdate):
        position = np.full(int(values.owner.max(initial=-1)) + 1, -1)
        position[clients[clients < len(position)]] = np.flatnonzero(clients < len(position))
        rows = np.flatnonzero(position[values.owner] >= 0)
        return LowRankUpdate(values.left[rows], values.right[rows], position[values.owner[rows]])
    return values.take(clients) if isinstance(values, Ragged) else values[clients]
