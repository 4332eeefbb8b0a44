"""Distribute a data set over folders: ``python -m simulations.deployment.prepare CONF DIR``.

Every client gets a folder that holds its own data and signing key alone, the server one with the public users, and all
of them everyone's public keys. The person who runs this sees all of it: in a real deployment every client makes its
own key.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from clients.device import write_device
from fedkd.cli.terminal import guarded, start
from fedkd.runs.config import Config, load
from fedkd.runs.federation import federation
from fedkd.secure_aggregation import Directory, Identity
from fedkd.secure_aggregation.identities import write_directory, write_identity
from server.data import write_server_data


def deal_out(config: Config, folder: Path) -> int:
    """Write ``server/`` and one ``client-N/`` per client; return how many clients there are."""
    together = federation(config)
    write_server_data(folder / "server", together.setup(config))
    registered = together.partition.num_clients
    identities = {client: Identity.generate() for client in range(registered)}
    directory = Directory({client: identity.public for client, identity in identities.items()})
    write_directory(folder / "server", directory)
    profiles = together.profiles(np.arange(registered), config)
    for client, identity in identities.items():
        _, data = together.held_by(np.array([client]))
        write_device(folder / f"client-{client}", client, registered, data, str(profiles[client]))
        write_identity(folder / f"client-{client}", identity)
        write_directory(folder / f"client-{client}", directory)
    return registered


@guarded
def main(
    conf: Annotated[Path, typer.Argument(help="The configuration (TOML) whose data is distributed.")],
    folder: Annotated[Path, typer.Argument(help="Where the folders go.")],
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the file.")] = None,
) -> None:
    """Write one data folder per client, and the server's."""
    clients = deal_out(load(conf, overrides or ()), folder)
    print(f"wrote the server's folder and {clients} client folders to {folder}")


if __name__ == "__main__":
    start(main)
