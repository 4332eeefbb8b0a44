"""``python -m clients DATA``: run one client's SuperNode on the data folder of its owner."""

import os
from pathlib import Path
from typing import Annotated

import typer

from clients.device import read_device
from fedkd.errors import UserError
from fedkd.processes import environment, free_port, program
from fedkd.terminal import guarded


def supernode(data: Path, superlink: str, certificates: Path | None, key: Path | None) -> list[str]:
    """Return the command of a SuperNode that reads only ``data`` and keeps its state there."""
    command = [program("flower-supernode"), "--superlink", superlink, "--port", str(free_port())]
    command += ["--node-config", f'data-path="{data.absolute()}"']
    if certificates is None:
        return [*command, "--insecure"]
    command += ["--root-certificates", str((certificates / "ca.crt").absolute())]
    return [*command, *(["--auth-supernode-private-key", str(key.absolute())] if key else [])]


@guarded
def main(
    data: Annotated[Path, typer.Argument(help="The client's data folder.")],
    superlink: Annotated[str, typer.Option(help="host:port of the server.")] = "127.0.0.1:8443",
    certificates: Annotated[Path | None, typer.Option(help="Folder with the server's ca.crt.")] = None,
    key: Annotated[Path | None, typer.Option(help="This node's private key.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="No TLS and no node authentication.")] = False,
) -> None:
    """Connect a client and serve the runs of the server until stopped."""
    if (certificates is None) != insecure:
        raise UserError("give either --certificates DIR or --insecure, not both and not neither")
    device = read_device(data)
    print(f"client {device.client} connects to {superlink}", flush=True)
    command = supernode(data, superlink, certificates, key)
    os.execve(command[0], command, environment(data / "flower"))  # this process becomes the SuperNode


if __name__ == "__main__":
    typer.run(main)
