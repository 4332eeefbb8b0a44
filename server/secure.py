"""The secure exchange: four questions to every client instead of one, after which the server knows only the sum."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedkd.aggregation.aggregator import Aggregator
from fedkd.messages.flower import add_secure, ask_record, read_secure, record_bytes, secure_record, turn_of
from fedkd.messages.missing import Failure, Missing
from fedkd.messages.serialisation import MalformedError
from fedkd.messages.types import Answers, Asks, mask_bits
from fedkd.secure_aggregation import Directory, SecureSum, SumError
from server.transport import exchange

WARNING = 30


@dataclass
class SecureExchange:
    """A series of questions to clients that shows only the sum of their answers.

    Attributes
    ----------
    directory : Directory
        Everyone's public identities, the same as at the clients.
    run : str
        Name of the run, which it keeps when it is continued: a client answers every question of a run in one cohort.
    attempt : str
        Name of this start of the server; keys and masks are bound to it.
    minimum : int
        Fewest clients whose sum is asked for.
    timeout : float
        Seconds to wait for each of the four answers.
    failures : dict of int to Failure
        Clients of the latest round whose answers are not in the sum, with the reasons.
    handshake : dict of int to int
        Bytes of keys and shares in the latest round, by client, in both directions.
    """

    directory: Directory
    run: str
    attempt: str
    minimum: int
    timeout: float
    failures: dict[int, Failure] = field(default_factory=dict)
    handshake: dict[int, int] = field(default_factory=dict)
    _kept_closed: dict[int, Failure] = field(default_factory=dict)

    def sum(self, grid: Grid, kind: str, asked: Mapping[int, Asks], aggregator: Aggregator) -> Answers | None:
        """Return the sum of the clients' encoded answers, or None where there is none.

        Parameters
        ----------
        grid : Grid
            Flower's grid.
        kind : str
            Type of the question: ``train``, ``train.panel`` or ``evaluate``.
        asked : mapping of int to Asks
            The question to each node, which hosts one client.
        aggregator : Aggregator
            The aggregator, which encodes answers as whole numbers.
        """
        specs = aggregator.specs
        nodes = {int(asks.clients[0]): node for node, asks in asked.items()}
        self.failures, self.handshake, self._kept_closed = {}, dict.fromkeys(nodes, 0), {}
        sizes = [int(np.prod(spec.shape)) for spec in specs.values()]
        asks = next(iter(asked.values()))
        try:
            turn, least = turn_of(asks.round, kind), max(self.minimum, aggregator.quorum)
            name = f"{self.run}-{self.attempt}"
            total = SecureSum(self.directory, name, turn, least, sum(sizes), mask_bits(specs))
            opened, survivors = self._open(grid, kind, nodes, asked, total)
        except SumError as error:
            log(WARNING, "no sum in round %d: %s", asks.round, error)
            lost = {client: self._kept_closed.get(client, Failure(Missing.NO_SUM)) for client in nodes}
            self.failures = lost | self.failures
            return None
        parts = np.split(opened, np.cumsum(sizes)[:-1])
        values = {name: part.reshape(specs[name].shape) for name, part in zip(specs, parts, strict=True)}
        return Answers(asks.round, survivors, values, asks.fingerprint)

    def _open(
        self, grid: Grid, kind: str, nodes: Mapping[int, int], asked: Mapping[int, Asks], total: SecureSum
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        turn = turn_of(next(iter(asked.values())).round, kind)
        head: dict[str, Any] = {"run": self.run, "attempt": self.attempt, "round": turn}
        start = {client: secure_record(b"", **head) for client in nodes}
        keys = total.keys(self._phase(grid, "query.keys", nodes, start))
        shares = total.shares(self._phase(grid, "query.shares", nodes, _records(keys, head)))
        train = {client: add_secure(ask_record(asked[nodes[client]]), s, **head) for client, s in shares.items()}
        alive = total.vectors(self._phase(grid, kind, nodes, train))
        for client in sorted(set(nodes) - set(alive)):
            fault = Failure(Missing.NO_SUM, str(total.faults.get(client, "no answer")))
            self.failures.setdefault(client, fault)
        opened = total.open(self._phase(grid, "query.unmask", nodes, _records(alive, head)))
        return opened, np.array(sorted(alive), np.int64)

    def _phase(
        self, grid: Grid, kind: str, nodes: Mapping[int, int], contents: Mapping[int, RecordDict]
    ) -> dict[int, bytes]:
        replies = exchange(
            grid, kind, {nodes[client]: content for client, content in contents.items()}, self.timeout, self.run
        )
        answers: dict[int, bytes] = {}
        for client, content in contents.items():
            reply = replies.contents.get(nodes[client])
            if reply is not None:
                try:
                    answers[client] = read_secure(reply)[0]
                except MalformedError as error:
                    # A client whose answer came is in the sum, even if its shares are lost.
                    which = self._kept_closed if kind == "query.unmask" else self.failures
                    which.setdefault(client, error.failure)
            if kind.startswith("query."):
                self.handshake[client] += record_bytes(content) + (0 if reply is None else record_bytes(reply))
        return answers


def _records(bundles: Mapping[int, bytes], head: Mapping[str, Any]) -> dict[int, RecordDict]:
    return {client: secure_record(bundle, **head) for client, bundle in bundles.items()}
