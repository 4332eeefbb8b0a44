"""The catalogue's way to the devices: once to each device that lacks it, with bytes counted by client."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from flwr.app import RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedkd.data.catalogue import FILE, Catalogue
from fedkd.messages.catalogue import catalogue_bytes, catalogue_record, check_size, read_holding
from fedkd.messages.flower import record_bytes
from fedkd.messages.serialisation import MalformedError
from fedkd.protocols.base import Setup
from fedkd.runs.config import Config
from server.progress import Progress
from server.transport import exchange

WARNING = 30
KIND = "query.catalogue"


@dataclass
class CatalogueExchange:
    """The transfer of the catalogue to nodes that hold another one; a node that refuses it can still take part.

    Attributes
    ----------
    catalogue : Catalogue
        The catalogue for every device.
    timeout : float
        Seconds to wait for each answer.
    """

    catalogue: Catalogue
    timeout: float
    _asked: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        check_size(self.catalogue)

    def share(self, grid: Grid, nodes: Mapping[int, NDArray[np.int64]]) -> tuple[NDArray[np.int64], int]:
        """Ask nodes that were not asked before which catalogue they hold, and send it to those that need it.

        Parameters
        ----------
        grid : Grid
            Flower's grid.
        nodes : mapping of int to ndarray
            The connected nodes, and the clients that each hosts.

        Returns
        -------
        clients : ndarray of int64
            Clients whose nodes were sent the catalogue.
        size : int
            Bytes of the message.
        """
        new = [node for node, clients in nodes.items() if len(clients) and node not in self._asked]
        self._asked |= set(new)
        if not new:
            return np.zeros(0, np.int64), 0
        content, wanted = catalogue_record(self.catalogue), self.catalogue.fingerprint
        lacking = self._holding_others(grid, dict.fromkeys(new, RecordDict()), wanted)
        without = self._holding_others(grid, dict.fromkeys(lacking, content), wanted)
        if without:
            log(WARNING, "%d nodes did not take the catalogue; they know items only by number", len(without))
        sent = [np.zeros(0, np.int64), *(nodes[node] for node in lacking)]
        return np.concatenate(sent), record_bytes(content)

    def _holding_others(self, grid: Grid, contents: Mapping[int, RecordDict], wanted: str) -> list[int]:
        """Send nodes a message about the catalogue; return those that do not confirm that they hold the wanted one."""
        replies = exchange(grid, KIND, contents, self.timeout).contents if contents else {}
        return [node for node in contents if node not in replies or _holding(node, replies[node]) != wanted]


def _holding(node: int, content: RecordDict) -> str:
    try:
        return read_holding(content)
    except MalformedError as error:
        log(WARNING, "node %d: %s", node, error)
        return ""


def catalogue_exchange(config: Config, setup: Setup) -> CatalogueExchange | None:
    """Return the transfer of the catalogue to devices; None in a simulation, whose nodes load it themselves."""
    if config.runtime.server_data is None:
        return None
    return CatalogueExchange(setup.public.catalogue, config.runtime.timeout_seconds)


def counted_once(progress: Progress) -> Progress:
    """Return a simulation's progress with the bytes of the catalogue, which real devices would be sent once."""
    size = catalogue_bytes(progress.state.setup.public.catalogue)
    counts = np.full(progress.state.setup.num_clients, size, np.int64)
    return replace(progress, clients={**progress.clients, "catalogue-bytes": counts})


def write_once(folder: Path, catalogue: Catalogue) -> None:
    """Write the catalogue into a run's folder, unless it is there."""
    if not (folder / FILE).exists():
        catalogue.write(folder / FILE)
