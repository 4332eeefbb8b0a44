"""The base of aggregators, which turn clients' answers into the server's estimate of their sum.

Aggregators nest, as in TensorFlow Federated (Bonawitz et al., Towards federated learning at scale, MLSys 2019): a
secure sum of noised, clipped answers is ``Masked(Noised(specs, mechanism), participants)``.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.errors import UserError
from fedkd.messages.missing import Missing
from fedkd.messages.types import Answers, Estimates, Spec
from fedkd.ragged import Ragged

Specs = Mapping[str, Spec]


class Aggregator(ABC):
    """The steps from one kind of answer to an estimate; clients and server hold equal aggregators."""

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
        """Clients: return the encoded answer of a group of clients, from one row of raw values for each.

        Raises
        ------
        UserError
            A sum has another shape than its spec.
        """

    @abstractmethod
    def decode(self, total: Answers) -> Estimates:
        """Server: return the estimates from a merged, encoded answer; called once for each sum."""

    def merge(self, parts: Sequence[Answers]) -> Answers:
        """Join encoded answers of disjoint groups of clients; the result has all clients in ascending order."""
        clients = np.concatenate([part.clients for part in parts])
        order, values = np.argsort(clients, kind="stable"), dict[str, Any]()
        answered = [part for part in parts if len(part.clients)]
        for name, spec in self.specs.items() if answered else ():
            values[name] = _joined([part.values[name] for part in answered], spec, order)
        refused: dict[Missing, list[int]] = {}
        for part in parts:
            for reason, names in part.refused.items():
                refused.setdefault(reason, []).extend(names)
        return replace(parts[0], clients=clients[order], values=values, refused=refused)


def checked(values: dict[str, Any], aggregator: Aggregator) -> dict[str, Any]:
    """Return the sums after checking their shapes, because noise is planned for a number of values."""
    for name, spec in aggregator.specs.items():
        if spec.sums and np.shape(values[name]) != spec.shape:
            raise UserError(f"{name} has the shape {np.shape(values[name])}, and {spec.shape} was asked for")
    return values


def _joined(chunks: list[Any], spec: Spec, order: NDArray[np.int64]) -> Any:
    if spec.sums:  # floats are added in double precision, one group after the other
        total = np.asarray(chunks[0], None if spec.quantiser is not None else np.float64)
        for chunk in chunks[1:]:
            total = total + chunk
        return total
    if isinstance(chunks[0], Ragged):
        return Ragged.concatenate(chunks).take(order)
    return np.concatenate(chunks)[order]
