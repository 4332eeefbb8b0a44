"""``python -m clients.supernode PARENT ...``: Flower's SuperNode as a client runs it.

It ends with its parent, which makes the server free its node at once. Its heart beats as often as Flower allows, so
that the server gives it up within 20 seconds of a sudden death; by itself Flower takes a minute.
"""

import os

from flwr.common.constant import HEARTBEAT_MIN_INTERVAL
from flwr.supercore import heartbeat
from flwr.supernode import fleet_http_connection
from flwr.supernode.cli import flower_supernode

from fedkd.runs.processes import tie

LOST = 75
"""Exit code of a SuperNode that lost the server."""


def main() -> None:
    """Run a SuperNode until it is stopped or has lost the server."""
    tie()
    for module in (heartbeat, fleet_http_connection):
        vars(module)["HEARTBEAT_DEFAULT_INTERVAL"] = HEARTBEAT_MIN_INTERVAL
    flower_supernode()
    os._exit(LOST)  # it returns only without a server, and its threads would go on


if __name__ == "__main__":
    main()
