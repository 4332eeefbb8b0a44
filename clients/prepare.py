"""``python -m clients.prepare CONF DATA``: make a device's folder from its own data and the server's catalogue.

Nobody else sees the data. The device makes its own signing key; ``identity.pub`` is for the server, which needs it for
the directory of all keys. The same command renews the data later and keeps the key, the student and the ledger.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray

from clients.device import PARTS, write_device
from fedkd.atomic_file import replace_file
from fedkd.cli.terminal import guarded, say, start
from fedkd.data.catalogue import FILE, Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.data.splits import split
from fedkd.errors import UserError
from fedkd.runs.config import Config, load
from fedkd.secure_aggregation import Identity
from fedkd.secure_aggregation.identities import DIRECTORY, PUBLIC, read_directory, read_identity, write_identity


def prepare(
    config: Config, folder: Path, catalogue: Path, client: int, registered: int, profile: str = ""
) -> tuple[Fold, int]:
    """Write a device's folder; return its data, and how many interactions are with items that the catalogue lacks.

    Parameters
    ----------
    config : Config
        Says where the data is and how it is split; the rest has no meaning here.
    folder : Path
        The device's folder.
    catalogue : Path
        The server's ``catalogue.safetensors``, which is public.
    client, registered : int
        The client's number, from 0, and how many clients take part in all.
    profile : str
        The profile of the device, where runs have several.

    Raises
    ------
    UserError
        The data or the catalogue cannot be read, or the catalogue has none of the items.
    """
    items, loaded = Catalogue.read(catalogue), config.data.load()
    fold = split(loaded, config.split, config.seed).test
    known = Fold(*(_over(items, getattr(fold, part)) for part in PARTS))
    unknown = sum(len(getattr(fold, part)) - len(getattr(known, part)) for part in ("history", "target"))
    if not len(known.train):
        raise UserError(f"the catalogue {catalogue} has none of the items in the data; item ids must be the server's")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_device(folder, client, registered, known, profile)
    (folder / "state").mkdir(mode=0o700, exist_ok=True)
    items.write(folder / "state" / FILE)
    identity = read_identity(folder)
    if identity is None:
        write_identity(folder, identity := Identity.generate())
    told = {"client": client, "users": known.train.num_users, "key": identity.public.hex()}
    replace_file(folder / PUBLIC, json.dumps(told).encode() + b"\n")
    return known, unknown


def _over(catalogue: Catalogue, part: Interactions) -> Interactions:
    """Return interactions over another catalogue, without those whose items it lacks."""
    place: NDArray[np.int64] = np.asarray(pd.Index(catalogue.ids).get_indexer(pd.Index(part.catalogue.ids)))
    items = place[part.histories.values]
    renamed = replace(part.histories, values=items.astype(np.int32))
    return replace(part, histories=renamed, catalogue=catalogue).where(items >= 0)


@guarded
def main(
    conf: Annotated[Path, typer.Argument(help="The configuration (TOML) that names this device's data.")],
    data: Annotated[Path, typer.Argument(help="The device's folder, which is made.")],
    catalogue: Annotated[Path, typer.Option(help="The server's catalogue.safetensors.")],
    client: Annotated[int, typer.Option(help="This client's number, from 0.", min=0)],
    registered: Annotated[int, typer.Option(help="How many clients take part in all.", min=1)],
    directory: Annotated[
        Path | None, typer.Option(help="The server's directory.json with everyone's public keys, once it has them.")
    ] = None,
    profile: Annotated[str, typer.Option(help="The device's profile, one of the runs' clients.profiles.")] = "",
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the file.")] = None,
) -> None:
    """Make a device's folder from its own data."""
    if client >= registered:
        raise UserError(f"--client {client} must be below --registered {registered}; clients count from 0")
    known, unknown = prepare(load(conf, overrides or ()), data, catalogue, client, registered, profile)
    if directory is not None:
        shutil.copyfile(directory, data / DIRECTORY)
        read_directory(data)
    lost = f"; {unknown} more are with items that the catalogue lacks" if unknown else ""
    say(f"{known.train.num_users} users, {len(known.history) + len(known.target)} interactions{lost}")
    say(f"send {data / PUBLIC} to the server; it holds this client's public key and no data")


if __name__ == "__main__":
    start(main)
