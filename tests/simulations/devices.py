"""Real client folders and messages in one process: a server, and a device for every client."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, RecordDict

from clients.app import app as client_app
from fedkd.runs.config import Config, flatten, load
from fedkd.runs.failures import UnansweredError
from server.app import app as server_app
from simulations.grid import FIRST_NODE, InProcessGrid

SMALL = [
    "data.synthetic.users=16",
    "data.synthetic.items=40",
    "data.synthetic.mean-history=9",
    "algorithm.rank=4",
    "runtime.threads=1",
    "runtime.wait-seconds=0",
    "evaluation.baselines=[]",
]
MANY = "data.synthetic.users=26"
"""So many that a run goes on though some leave."""

DISTRIBUTED = ["privacy.mode=distributed", "privacy.epsilon=8", "privacy.delta=1e-4"]
Tamper = Callable[[Message], Message | None]


class DeviceGrid(InProcessGrid):
    """Nodes with a client's own folder each; ``tamper`` may swallow or change what one of them says."""

    def __init__(self, config: Config, data: Path, tampers: dict[int, Tamper] | None = None, node: Any = None) -> None:
        folders = sorted(data.glob("client-*"), key=lambda folder: int(folder.name.partition("-")[2]))
        super().__init__(client_app, flatten(config), len(folders))
        self.tampers, self.seen = tampers or {}, list[Message]()
        for number, folder in enumerate(folders):
            about = {"data-path": str(folder), "clear": config.privacy.sums == "clear", **(node or {})}
            self._contexts[FIRST_NODE + number] = Context(1, FIRST_NODE + number, about, RecordDict(), flatten(config))

    def deliver(self, message: Message) -> Message | None:
        reply = super().deliver(message)
        if reply is None:
            return None
        tamper = self.tampers.get(message.metadata.dst_node_id - FIRST_NODE, lambda honest: honest)
        told = tamper(reply)
        if told is not None:
            self.seen.append(told)
        return told


def configured(place: Path, data: Path, *more: str) -> Config:
    return placed(place, data, *SMALL, *more)


def placed(place: Path, data: Path, *settings: str) -> Config:
    paths = {"runtime.run-folder": place, "runtime.server-data": data / "server"}
    return load(None, [*settings, *(f"{key}={json.dumps(str(path))}" for key, path in paths.items())])


def deployed(place: Path, data: Path, *more: str, tampers: dict[int, Tamper] | None = None, **node: Any) -> DeviceGrid:
    """Run a server on devices that lie in ``data``, and return the grid with all it carried."""
    return served(configured(place, data, *more), data, tampers, node)


def unanswered(
    place: Path, data: Path, *more: str, tampers: dict[int, Tamper] | None = None, **node: Any
) -> tuple[DeviceGrid, str]:
    """Run a server that nobody answers; return the grid, and what the server says of it."""
    config = configured(place, data, *more)
    grid = DeviceGrid(config, data, tampers, node)
    with pytest.raises(UnansweredError) as error:
        server_app(grid, Context(1, 1, {}, RecordDict(), flatten(config)))
    return grid, str(error.value)


def served(config: Config, data: Path, tampers: dict[int, Tamper] | None = None, node: Any = None) -> DeviceGrid:
    grid = DeviceGrid(config, data, tampers, node)
    server_app(grid, Context(1, 1, {}, RecordDict(), flatten(config)))
    return grid
