"""Which node hosts which clients: every node is asked once, and its word is checked as far as it can be."""

import time
from dataclasses import dataclass, field

import numpy as np
from flwr.app import RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedkd.messages.flower import read_claim
from fedkd.messages.serialisation import MalformedError
from fedkd.secure_aggregation import Directory
from fedkd.secure_aggregation.attestation import attestation_is_signed
from server.transport import exchange

WARNING = 30


@dataclass
class Hosts:
    """The connected nodes and the clients they host.

    Attributes
    ----------
    grid : Grid
        Flower's.
    num_clients : int
        How many clients are registered; there are no others.
    timeout : float
        Seconds until a node's answer counts as missing.
    directory : Directory, optional
        Everyone's public identities: a node is then believed to host one client, and that if the client signed it.
    """

    grid: Grid
    num_clients: int
    timeout: float
    directory: Directory | None = None
    _claims: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    def look(self) -> dict[int, NDArray[np.int64]]:
        """Return the connected nodes and the clients each hosts; only nodes that have not answered before are asked.

        A client that two nodes claim belongs to the first of them, as long as that is connected.
        """
        connected = set(self.grid.get_node_ids())
        self._claims = {node: clients for node, clients in self._claims.items() if node in connected}
        strangers = dict.fromkeys(sorted(connected - self._claims.keys()), RecordDict())
        replies = exchange(self.grid, "query.whoami", strangers, self.timeout).contents if strangers else {}
        self._claims |= {node: self._believed(node, replies[node]) for node in sorted(replies)}
        return self._assigned()

    def wait(self, seconds: float) -> dict[int, NDArray[np.int64]]:
        """Look until every registered client is hosted by a connected node, at most for some seconds."""
        end = time.monotonic() + seconds
        hosts = self.look()
        while sum(map(len, hosts.values())) < self.num_clients and time.monotonic() < end:
            time.sleep(min(0.5, seconds))
            hosts = self.look()
        return hosts

    def _assigned(self) -> dict[int, NDArray[np.int64]]:
        hosts, free = dict[int, NDArray[np.int64]](), np.ones(self.num_clients, np.bool_)
        for node, claimed in self._claims.items():
            hosts[node] = claimed[free[claimed]]
            free[claimed] = False
        return hosts

    def _believed(self, node: int, content: RecordDict) -> NDArray[np.int64]:
        """Return the clients that a node hosts, ascending: by its own word, or by their signature."""
        try:
            return self._checked(node, *read_claim(content))
        except MalformedError as error:
            log(WARNING, "node %d is not believed: %s", node, error)
            return np.zeros(0, np.int64)

    def _checked(self, node: int, claimed: NDArray[np.int64], signature: bytes) -> NDArray[np.int64]:
        clients = np.unique(claimed[(claimed >= 0) & (claimed < self.num_clients)])
        if self.directory is None:
            return clients
        if len(clients) != 1 or not attestation_is_signed(self.directory, node, int(clients[0]), signature):
            raise MalformedError("it must host one client, whose identity signed that")
        return clients
