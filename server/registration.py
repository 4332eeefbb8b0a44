"""``python -m server.registration CONNECTION KEY ...``: register nodes at a SuperLink by their public keys.

Flower's own command registers one node, and takes a second to start.
"""

import sys

from flwr.cli.app import typer_click_object


def main() -> None:
    """Register every node in turn; the first refusal ends the process as Flower's command ends."""
    connection, *keys = sys.argv[1:]
    for key in keys:
        try:
            typer_click_object(["supernode", "register", key, connection])
        except SystemExit as ended:
            if ended.code:
                raise


if __name__ == "__main__":
    main()
