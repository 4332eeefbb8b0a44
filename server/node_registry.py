"""The registry of nodes and the clients they host: every node is asked once, and its answer is checked."""

import time
from dataclasses import dataclass, field

import numpy as np
from flwr.app import RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedkd.messages.flower import read_attestation
from fedkd.messages.serialisation import MalformedError
from fedkd.secure_aggregation import Directory
from fedkd.secure_aggregation.attestation import attestation_is_signed
from server.transport import exchange

WARNING = 30


@dataclass
class NodeRegistry:
    """The connected nodes and the clients they host.

    Attributes
    ----------
    grid : Grid
        Flower's grid.
    num_clients : int
        Number of registered clients.
    timeout : float
        Seconds until a node's answer counts as missing.
    directory : Directory, optional
        Everyone's public identities. With them a node may host only one client, whose signature it must show.
    """

    grid: Grid
    num_clients: int
    timeout: float
    directory: Directory | None = None
    _reported: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    def look(self) -> dict[int, NDArray[np.int64]]:
        """Return the connected nodes and the clients each hosts; nodes that have answered are not asked again.

        If two nodes claim a client, it belongs to the first of them for as long as that one is connected.
        """
        connected = set(self.grid.get_node_ids())
        self._reported = {node: clients for node, clients in self._reported.items() if node in connected}
        strangers = dict.fromkeys(sorted(connected - self._reported.keys()), RecordDict())
        replies = exchange(self.grid, "query.whoami", strangers, self.timeout).contents if strangers else {}
        self._reported |= {node: self._believed(node, replies[node]) for node in sorted(replies)}
        return self._assigned()

    def wait(self, seconds: float, anyone: NDArray[np.int64] | None = None) -> dict[int, NDArray[np.int64]]:
        """Look until connected nodes host every registered client, or some seconds have passed.

        Parameters
        ----------
        seconds : float
            The longest time.
        anyone : ndarray of int64, optional
            Clients of which one is enough.
        """
        end = time.monotonic() + seconds
        hosts = self.look()
        while not self._enough(hosts, anyone) and time.monotonic() < end:
            time.sleep(min(0.5, seconds))
            hosts = self.look()
        return hosts

    def _enough(self, hosts: dict[int, NDArray[np.int64]], anyone: NDArray[np.int64] | None) -> bool:
        if anyone is None:
            return sum(map(len, hosts.values())) >= self.num_clients
        return any(np.isin(clients, anyone).any() for clients in hosts.values())

    def _assigned(self) -> dict[int, NDArray[np.int64]]:
        hosts, free = dict[int, NDArray[np.int64]](), np.ones(self.num_clients, np.bool_)
        for node, claimed in self._reported.items():
            hosts[node] = claimed[free[claimed]]
            free[claimed] = False
        return hosts

    def _believed(self, node: int, content: RecordDict) -> NDArray[np.int64]:
        """Return the clients that a node hosts, ascending; none if its answer does not pass the checks."""
        try:
            return self._checked(node, *read_attestation(content))
        except MalformedError as error:
            log(WARNING, "node %d is ignored: %s", node, error)
            return np.zeros(0, np.int64)

    def _checked(self, node: int, claimed: NDArray[np.int64], signature: bytes) -> NDArray[np.int64]:
        clients = np.unique(claimed[(claimed >= 0) & (claimed < self.num_clients)])
        if self.directory is None:
            return clients
        if len(clients) != 1 or not attestation_is_signed(self.directory, node, int(clients[0]), signature):
            raise MalformedError("it must host one client and show that client's signature")
        return clients
