"""``python -m server.prepare CONF DATA``: make the server's folder from its public users' data alone.

First without keys: ``catalogue.safetensors`` is then there for the devices. Again with the ``identity.pub`` of every
device, once they have made them: ``directory.json`` is then there for the devices, and the server knows who takes part.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from fedkd.cli.terminal import guarded, say, start
from fedkd.errors import UserError
from fedkd.protocols.base import Setup
from fedkd.runs.config import Config, load
from fedkd.secure_aggregation import Directory
from fedkd.secure_aggregation.identities import write_directory
from server.data import write_server_data


def prepare(config: Config, folder: Path, keys: list[Path]) -> Setup:
    """Write the server's folder, and the directory of the devices' keys if there are any.

    Raises
    ------
    UserError
        The data cannot be read, a file holds no key, or the clients' numbers are not 0 and up, each once.
    """
    told = sorted((_read(path) for path in keys), key=lambda one: one[0])
    if [client for client, _, _ in told] != list(range(len(told))):
        numbers = ", ".join(str(client) for client, _, _ in told)
        raise UserError(f"clients must have the numbers 0 to {len(told) - 1}, each once; these have {numbers}")
    users = sum(users for _, users, _ in told)
    setup = Setup(config.data.load().interactions, len(told), users, config.num_server_rounds, config.seed)
    write_server_data(folder, setup)
    if told:
        write_directory(folder, Directory({client: key for client, _, key in told}))
    return setup


def _read(path: Path) -> tuple[int, int, bytes]:
    try:
        told = json.loads(path.read_text(encoding="ascii"))
        return int(told["client"]), int(told["users"]), bytes.fromhex(told["key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no identity.pub of a device ({error}); python -m clients.prepare makes it"
        ) from None


@guarded
def main(
    conf: Annotated[Path, typer.Argument(help="The configuration (TOML) that names the public users' data.")],
    data: Annotated[Path, typer.Argument(help="The server's folder, which is made.")],
    keys: Annotated[list[Path] | None, typer.Argument(help="The identity.pub of every device.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the file.")] = None,
) -> None:
    """Make the server's folder."""
    setup = prepare(load(conf, overrides or ()), data, keys or [])
    say(f"{setup.public.num_items} items, {setup.public.num_users} public users, {setup.num_clients} clients")


if __name__ == "__main__":
    start(main)
