"""A round of which the server sees the sum alone: four questions to every client instead of one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedkd.messages.flower import add_secure, ask_record, read_secure, record_bytes, secure_record, turn_of
from fedkd.messages.serialisation import MalformedError
from fedkd.messages.types import Answers, Asks, Spec, mask_bits
from fedkd.secure_aggregation import Directory, SecureSum, SumError
from server.transport import exchange

WARNING = 30


@dataclass
class SecureExchange:
    """Asks clients so that only the sum of their answers can be seen.

    Attributes
    ----------
    directory : Directory
        Everyone's public identities, as the clients have them.
    run : str
        Names this attempt of the run; keys and masks are bound to it.
    minimum : int
        Fewest clients whose sum is asked for.
    timeout : float
        Seconds to wait for each of the four answers.
    failures : dict of int to str
        Clients of the latest round whose answer is not in the sum, and why.
    handshake : dict of int to int
        Bytes that keys and shares took in the latest round, by client, both ways.
    """

    directory: Directory
    run: str
    minimum: int
    timeout: float
    failures: dict[int, str] = field(default_factory=dict)
    handshake: dict[int, int] = field(default_factory=dict)

    def sum(
        self,
        grid: Grid,
        kind: str,
        asked: Mapping[int, Asks],
        plain: Mapping[str, Spec],
        specs: Mapping[str, Spec],
        quorum: int,
    ) -> Answers | None:
        """Return the sum of the clients' answers, or None where there is none.

        Parameters
        ----------
        grid : Grid
            Flower's.
        kind : str
            What is asked for: ``train``, ``train.panel`` or ``evaluate``.
        asked : mapping of int to Asks
            What each node is asked; it hosts one client.
        plain, specs : mapping of str to Spec
            What an answer is for the protocol, and as whole numbers; what only the latter gives a grid comes back in
            the units of its values.
        quorum : int
            Fewest clients whose sum carries all its noise.
        """
        nodes = {int(asks.clients[0]): node for node, asks in asked.items()}
        self.failures, self.handshake = {}, dict.fromkeys(nodes, 0)
        sizes = [int(np.prod(spec.shape)) for spec in specs.values()]
        asks = next(iter(asked.values()))
        try:
            turn, least = turn_of(asks.round, kind), max(self.minimum, quorum)
            total = SecureSum(self.directory, self.run, turn, least, sum(sizes), mask_bits(specs))
            opened, survivors = self._open(grid, kind, nodes, asked, total)
        except SumError as error:
            log(WARNING, "no sum in round %d: %s", asks.round, error)
            self.failures |= {client: "no secure sum" for client in nodes if client not in self.failures}
            return None
        parts = np.split(opened, np.cumsum(sizes)[:-1])
        values = {name: _read(part, plain[name], specs[name]) for name, part in zip(specs, parts, strict=True)}
        about = "" if asks.reference is None else asks.reference.fingerprint
        return Answers(asks.round, survivors, values, about)

    def _open(
        self, grid: Grid, kind: str, nodes: Mapping[int, int], asked: Mapping[int, Asks], total: SecureSum
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        about: dict[str, Any] = {"run": self.run, "round": turn_of(next(iter(asked.values())).round, kind)}
        start = {client: secure_record(b"", **about) for client in nodes}
        keys = total.keys(self._phase(grid, "query.keys", nodes, start))
        shares = total.shares(self._phase(grid, "query.shares", nodes, _records(keys, about)))
        train = {client: add_secure(ask_record(asked[nodes[client]]), s, **about) for client, s in shares.items()}
        alive = total.vectors(self._phase(grid, kind, nodes, train))
        for client in sorted(set(nodes) - set(alive)):
            self.failures.setdefault(client, f"secure sum: {total.faults.get(client, 'no answer')}")
        opened = total.open(self._phase(grid, "query.unmask", nodes, _records(alive, about)))
        return opened, np.array(sorted(alive), np.int64)

    def _phase(
        self, grid: Grid, kind: str, nodes: Mapping[int, int], contents: Mapping[int, RecordDict]
    ) -> dict[int, bytes]:
        replies = exchange(grid, kind, {nodes[client]: content for client, content in contents.items()}, self.timeout)
        answers: dict[int, bytes] = {}
        for client, content in contents.items():
            reply = replies.contents.get(nodes[client])
            if reply is not None:
                try:
                    answers[client] = read_secure(reply)[0]
                except MalformedError as error:
                    if kind != "query.unmask":  # those who answered are in the sum, whether they help to open it or not
                        self.failures.setdefault(client, str(error))
            if kind.startswith("query."):
                self.handshake[client] += record_bytes(content) + (0 if reply is None else record_bytes(reply))
        return answers


def _read(part: NDArray[np.int64], plain: Spec, spec: Spec) -> NDArray[Any]:
    """Return the sum of one array, in its own units where it is not of whole numbers by itself."""
    assert spec.grid is not None
    whole = (part if spec.grid.signed else part % (1 << spec.grid.bits)).reshape(spec.shape)
    return whole if plain.grid is not None else whole * spec.grid.step


def _records(bundles: Mapping[int, bytes], about: Mapping[str, Any]) -> dict[int, RecordDict]:
    return {client: secure_record(bundle, **about) for client, bundle in bundles.items()}
