"""``python -m clients.supernode PARENT ...``: Flower's SuperNode as a client runs it.

It ends with its parent, which makes the server free its node at once. Its heart beats as often as Flower allows, so
that the server gives it up within 20 seconds of a sudden death; by itself Flower takes a minute.
"""

import os

from flwr.common.constant import HEARTBEAT_MIN_INTERVAL
from flwr.supercore import heartbeat
from flwr.supercore.corestate import in_memory_corestate
from flwr.supernode import fleet_http_connection
from flwr.supernode.cli import flower_supernode

from clients.executor import forked, serve
from fedkd.runs.processes import free_port, tie

LOST = 75
"""Exit code of a SuperNode that lost the server."""

START = 300
"""Seconds that a busy machine has to begin with a message; Flower gives up the message after 30."""


def main() -> None:
    """Run a SuperNode until it is stopped or has lost the server."""
    node, port = os.getpid(), free_port()
    forked(lambda: serve(port, node))
    tie("--isolation", "process", "--port", str(port))
    for module in (heartbeat, fleet_http_connection):
        vars(module)["HEARTBEAT_DEFAULT_INTERVAL"] = HEARTBEAT_MIN_INTERVAL
    vars(in_memory_corestate)["HEARTBEAT_DEFAULT_INTERVAL"] = START
    flower_supernode()
    os._exit(LOST)  # it returns only without a server, and its threads would go on


if __name__ == "__main__":
    main()
