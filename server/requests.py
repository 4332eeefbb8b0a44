"""Questions to the clients that nodes host: messages out, usable answers back, every other one counted by reason."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from fedkd.messages.flower import ask_bytes, ask_record, read_answer
from fedkd.messages.serialisation import MalformedError
from fedkd.messages.types import Answers, Asks, Spec
from fedkd.privacy.mechanism import Protection
from server.catalogue import CatalogueExchange
from server.node_registry import Hosts
from server.secure import SecureExchange
from server.transport import collect, deliver, missing

Answered = tuple[Answers, Mapping[str, Spec]]
"""Usable answers, and what they look like."""


@dataclass
class Questions:
    """Asks the clients behind a grid, one question at a time.

    Attributes
    ----------
    nodes : Hosts
        The grid's, with the clients they host, and how long an answer is waited for.
    count : callable
        Told of what adds up client by client: a name of ``progress.COUNTS``, the clients, and the amount of each.
    secure : SecureExchange, optional
        Asks so that only the sum of the answers is seen; the nodes must have the same directory then.
    catalogue : CatalogueExchange, optional
        Sends the catalogue to nodes that lack it; a simulation's nodes have it.
    failures : Counter of str
        Missing answers since it was last cleared, by reason.
    """

    nodes: Hosts
    count: Callable[[str, NDArray[np.int64], NDArray[np.int64] | int], None]
    secure: SecureExchange | None = None
    catalogue: CatalogueExchange | None = None
    failures: Counter[str] = field(default_factory=Counter)
    _hosts: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    _asked: dict[int, Asks] = field(default_factory=dict)
    _sent: list[Message] = field(default_factory=list)

    def connect(self, wait: float) -> None:
        """Wait until every registered client is hosted by a connected node, at most ``wait`` seconds."""
        self._hosts = self.nodes.wait(wait)
        self._share_catalogue()

    def look_again(self) -> None:
        """Find out who is connected now."""
        self._hosts = self.nodes.look()
        self._share_catalogue()

    @property
    def connected(self) -> NDArray[np.int64]:
        """Clients that some node hosts, ascending."""
        return np.sort(np.concatenate([*self._hosts.values(), np.zeros(0, np.int64)]))

    def write(self, asks: Asks, kind: str, counted: str) -> list[Message]:
        """Return one message to every node that hosts some of the asked clients; its bytes add to ``counted``."""
        self._asked = {}
        for node, hosted in self._hosts.items():
            clients = np.intersect1d(asks.clients, hosted)
            if len(clients):
                self._asked[node] = asks.take(clients)
                self.count(counted, clients, ask_bytes(self._asked[node]))
        self._sent = [
            Message(ask_record(own), dst_node_id=node, message_type=kind) for node, own in self._asked.items()
        ]
        return self._sent

    def send(self) -> Iterable[Message]:
        """Send what was written, and return the replies."""
        return deliver(self.nodes.grid, self._sent, self.nodes.timeout)

    def read(self, replies: Iterable[Message], specs_of: Callable[[Asks], Mapping[str, Spec]]) -> Iterable[Answered]:
        """Yield the usable answers, ordered by client, and count the rest by reason."""
        matched = collect(self._sent, list(replies))
        for node, reason in matched.failures.items():
            self._fail(self._asked[node].clients, reason)
        for node in sorted(matched.contents, key=lambda node: int(self._asked[node].clients[0])):
            asks = self._asked[node]
            specs = specs_of(asks)
            try:
                answers = read_answer(matched.contents[node], asks, specs)
            except MalformedError as error:
                self._fail(asks.clients, f"malformed: {error}")
                continue
            for reason, clients in missing(asks, answers):
                self._fail(clients, reason)
            if len(answers.clients):
                yield answers, specs

    def summed(self, kind: str, plain: Mapping[str, Spec], guard: Protection) -> list[Answered]:
        """Send what was written so that only the sum is seen; count who is not in it and what the keys cost."""
        if self.secure is None or not self._asked:
            return []
        total = self.secure.sum(self.nodes.grid, kind, self._asked, plain, guard.maskable(plain), guard.quorum)
        for client, reason in self.secure.failures.items():
            self._fail(np.array([client]), reason)
        for client, count in self.secure.handshake.items():
            self.count("handshake-bytes", np.array([client]), count)
        return [] if total is None else [(total, guard.maskable(plain))]

    def answers(self, kind: str, specs: Mapping[str, Spec], guard: Protection) -> list[Answered]:
        """Send what was written, under masks if single answers must not be seen, and return what can be used."""
        if self.secure is not None:
            return self.summed(kind, specs, guard)
        return list(self.read(self.send(), lambda asks: specs))

    def _share_catalogue(self) -> None:
        if self.catalogue is not None:
            self.count("catalogue-bytes", *self.catalogue.share(self.nodes.grid, self._hosts))

    def _fail(self, clients: NDArray[np.int64], reason: str) -> None:
        self.failures[reason] += len(clients)
        self.count("failed", clients, 1)
