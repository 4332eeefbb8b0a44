"""Deal a data set out to folders: ``python -m simulations.deployment.prepare CONF DIR``.

Every client gets a folder that holds his own data alone, the server one with the public users.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from clients.device import write_device
from fedkd.config import Config, load
from fedkd.federation import federation
from fedkd.terminal import guarded
from server.depot import write_depot


def deal_out(config: Config, folder: Path) -> int:
    """Write ``server/`` and one ``client-N/`` per client; return how many clients there are."""
    together = federation(config)
    write_depot(folder / "server", together.setup(config))
    registered = together.partition.num_clients
    for client in range(registered):
        _, data = together.held_by(np.array([client]))
        write_device(folder / f"client-{client}", client, registered, data)
    return registered


@guarded
def main(
    conf: Annotated[Path, typer.Argument(help="The configuration (TOML) whose data is dealt out.")],
    folder: Annotated[Path, typer.Argument(help="Where the folders go.")],
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the file.")] = None,
) -> None:
    """Write one data folder per client, and the server's."""
    clients = deal_out(load(conf, overrides or ()), folder)
    print(f"wrote the server's folder and {clients} client folders to {folder}")


if __name__ == "__main__":
    typer.run(main)
