"""Requests to the clients that nodes host: questions out, usable answers back, missing answers counted by reason."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from fedkd.aggregation.aggregator import Aggregator
from fedkd.messages.flower import answer_bytes, ask_bytes, ask_record, read_answer
from fedkd.messages.missing import Failure, Missing
from fedkd.messages.serialisation import MalformedError
from fedkd.messages.types import Answers, Asks
from server.catalogue import CatalogueExchange
from server.node_registry import NodeRegistry
from server.secure import SecureExchange
from server.transport import collect, deliver, missing


@dataclass
class Requests:
    """The clients behind a grid, asked one question at a time.

    Attributes
    ----------
    nodes : NodeRegistry
        The grid's nodes with their clients, and the timeout of answers.
    count : callable
        Called with a name of ``progress.COUNTS``, clients, and the amount to add for each.
    secure : SecureExchange, optional
        Shows the server only the sum of the answers; the nodes must have the same directory.
    catalogue : CatalogueExchange, optional
        Sends the catalogue to nodes that lack it; a simulation's nodes have it.
    run : str
        The run's name, by which a device keeps its student; it stays when the run is continued.
    failures : dict of int to Failure
        Clients of which an answer is missing since the last ``begin_round``, each with the first reason.
    """

    nodes: NodeRegistry
    count: Callable[[str, NDArray[np.int64], NDArray[np.int64] | int], None]
    secure: SecureExchange | None = None
    catalogue: CatalogueExchange | None = None
    run: str = ""
    failures: dict[int, Failure] = field(default_factory=dict)
    _hosts: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    _asked: dict[int, Asks] = field(default_factory=dict)
    _sent: list[Message] = field(default_factory=list)

    def connect(self, wait: float) -> None:
        """Wait until connected nodes host every registered client, at most ``wait`` seconds."""
        self._hosts = self.nodes.wait(wait)
        self._share_catalogue()

    def look_again(self) -> None:
        """Find the nodes that are connected now."""
        self._hosts = self.nodes.look()
        self._share_catalogue()

    def reaches(self, clients: NDArray[np.int64], wait: float) -> bool:
        """Say whether some node hosts one of these clients, now or within ``wait`` seconds."""
        if not np.isin(clients, self.connected).any():
            self._hosts = self.nodes.wait(wait, clients)
            self._share_catalogue()
        return bool(np.isin(clients, self.connected).any())

    @property
    def connected(self) -> NDArray[np.int64]:
        """Clients that some node hosts, ascending."""
        return np.sort(np.concatenate([*self._hosts.values(), np.zeros(0, np.int64)]))

    def write(self, asks: Asks, kind: str, counted: str) -> list[Message]:
        """Return a message to every node that hosts some of the asked clients; count its bytes under ``counted``."""
        self._asked = {}
        for node, hosted in self._hosts.items():
            clients = np.intersect1d(asks.clients, hosted)
            if len(clients):
                self._asked[node] = asks.take(clients)
                self.count(counted, clients, ask_bytes(self._asked[node]))
        self._sent = [
            Message(ask_record(own), dst_node_id=node, message_type=kind, group_id=self.run)
            for node, own in self._asked.items()
        ]
        return self._sent

    def send(self) -> Iterable[Message]:
        """Send the questions that were written, and return the replies."""
        return deliver(self.nodes.grid, self._sent, self.nodes.timeout)

    def hand_out(self, asks: Asks) -> None:
        """Send devices the student for their owners; it is made of protected answers, so it costs nobody anything."""
        if self.catalogue is not None:
            self.write(asks, "query.student", "evaluation-down-bytes")
            self.send()

    def total(self, kind: str, aggregator: Aggregator, counted: str) -> Answers | None:
        """Send the written questions, and return all usable answers merged; count their bytes under ``counted``.

        Where the server may see only sums, the result is a secure sum. It is None if nobody answered.
        """
        if self.secure is not None:
            return self._summed(self.secure, kind, aggregator, counted)
        return self.merged(self.send(), aggregator, counted)

    def merged(self, replies: Iterable[Message], aggregator: Aggregator, counted: str) -> Answers | None:
        """Return the usable answers in some replies, merged in the order of their clients."""
        total: Answers | None = None
        for answers in self.read(replies, aggregator, counted):
            total = aggregator.merge([total, answers] if total is not None else [answers])
        return total

    def read(self, replies: Iterable[Message], aggregator: Aggregator, counted: str) -> Iterable[Answers]:
        """Yield the usable answers of every node, ordered by client, and count the rest by reason."""
        matched = collect(self._sent, list(replies))
        for node, failure in matched.failures.items():
            self.fail(self._asked[node].clients, failure)
        for node in sorted(matched.contents, key=lambda node: int(self._asked[node].clients[0])):
            asks = self._asked[node]
            try:
                answers = read_answer(matched.contents[node], asks, aggregator.specs)
            except MalformedError as error:
                self.fail(asks.clients, error.failure)
                continue
            for reason, clients in missing(asks, answers):
                self.fail(clients, Failure(reason))
            if len(answers.clients):
                self.count(counted, answers.clients, answer_bytes(answers, aggregator.specs))
                yield answers

    def fail(self, clients: NDArray[np.int64], failure: Failure) -> None:
        """Note clients whose answer is missing; a client counts once a round, however many answers it owes."""
        new = [client for client in clients.tolist() if client not in self.failures]
        self.failures |= dict.fromkeys(new, failure)
        self.count("failed", np.array(new, np.int64), 1)

    @property
    def reasons(self) -> Counter[Failure]:
        """The number of clients that failed, by reason."""
        return Counter(self.failures.values())

    def exhausted(self) -> bool:
        """Return whether every missing answer is missing because a budget is exhausted."""
        return {failure.reason for failure in self.reasons} == {Missing.EXHAUSTED}

    def _share_catalogue(self) -> None:
        if self.catalogue is not None:
            self.count("catalogue-bytes", *self.catalogue.share(self.nodes.grid, self._hosts))

    def _summed(self, secure: SecureExchange, kind: str, aggregator: Aggregator, counted: str) -> Answers | None:
        """Return the secure sum; count the clients that are not in it, and the bytes of keys and shares."""
        if not self._asked:
            return None
        total = secure.sum(self.nodes.grid, kind, self._asked, aggregator)
        for client, failure in secure.failures.items():
            self.fail(np.array([client]), failure)
        for client, count in secure.handshake.items():
            self.count("handshake-bytes", np.array([client]), count)
        if total is not None:
            self.count(counted, total.clients, answer_bytes(total, aggregator.specs))
        return total
