"""A device's own data: one folder that no one else reads."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyarrow.parquet import ParquetFile

from fedkd.atomic_file import replace_file, replacing
from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.ragged import Ragged, offsets
from fedkd.secure_aggregation import Identity
from fedkd.secure_aggregation.identities import KEY, read_identity

if TYPE_CHECKING:  # as in clients.policy
    from fedkd.runs.config import Config

PARTS = ("train", "history", "target")
SIZES, INTERACTIONS, COLUMNS = "device.json", "interactions.parquet", ["user", "item", "part"]
TIME = "time"

MADE = (
    "make it of the device's own data with python -m clients.prepare, or for many clients on one machine with "
    "python -m simulations.deployment.prepare"
)
"""The ways to make a device's folder."""


@dataclass(frozen=True)
class Device:
    """The private data of one client.

    Attributes
    ----------
    folder : Path
        The folder that holds the data.
    client, registered : int
        The client's id, and how many clients take part in all.
    data : Fold
        Its users' data over the whole catalogue.
    profile : str
        The profile that the device has where a run has several (``clients.profiles``); empty where it names none.
    identity : Identity, optional
        The client's own signing key, for secure sums.
    """

    folder: Path
    client: int
    registered: int
    data: Fold
    profile: str = ""
    identity: Identity | None = None

    def held_by(self, clients: NDArray[np.int64]) -> tuple[NDArray[np.int64], Fold]:
        """Return the device's users; it knows no other client."""
        if clients.tolist() != [self.client]:
            raise UserError(f"this device belongs to client {self.client}, and was asked about {clients.tolist()}")
        return np.zeros(self.data.train.num_users, np.int64), self.data

    def profiles(self, clients: NDArray[np.int64], config: "Config") -> NDArray[np.str_]:
        """Return the device's own profile for its client.

        Raises
        ------
        UserError
            The run has profiles, and this device's is none of them.
        """
        known = config.clients.profiles
        if known and self.profile not in known:
            raise UserError(
                f"this run has the device profiles {', '.join(known)}, and this device's is "
                f"{self.profile or 'not named'}; prepare its folder again with --profile"
            )
        return np.full(len(clients), self.profile if known else "")

    @property
    def had(self) -> Interactions:
        """All that the users have had: their histories, and after them what tests hold back."""
        parts = (self.data.history.histories, self.data.target.histories)
        users, items = (np.concatenate([getattr(part, of) for part in parts]) for of in ("row_index", "values"))
        _, first = np.unique(users * self.data.history.num_items + items, return_index=True)
        first.sort()
        return _interactions(users[first], items[first], self.data.history.num_users, self.data.history.catalogue)

    def owner(self, client: int) -> str:
        """Return the lasting name of a client: a device holds one, under its own number."""
        return str(client)


def write_device(folder: Path, client: int, registered: int, data: Fold, profile: str = "") -> None:
    """Write one client's data: ``device.json`` and ``interactions.parquet``, items by position.

    The table has the columns user, item and part, and time where there are times.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    frames = [_frame(getattr(data, part), part) for part in PARTS]
    with replacing(folder / INTERACTIONS) as new:
        new.touch(0o600)
        pd.concat(frames, ignore_index=True).to_parquet(new, index=False)
    sizes = {"client": client, "registered": registered, "users": data.train.num_users, "items": data.train.num_items}
    replace_file(folder / SIZES, json.dumps({**sizes, "profile": profile}).encode() + b"\n")


def read_device(folder: Path) -> Device:
    """Read what ``write_device`` wrote; files that have not changed since this process read them are not read again.

    Raises
    ------
    UserError
        A file is missing or does not hold what it must.
    """
    return _read(folder, tuple(_version(folder / name) for name in (SIZES, INTERACTIONS, KEY)))


def _version(path: Path) -> tuple[int, int, int] | None:
    """Return what differs between a file and the one that replaces it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


@lru_cache(maxsize=64)
def _read(folder: Path, versions: tuple[tuple[int, int, int] | None, ...]) -> Device:
    del versions  # what has changed is read again
    try:
        sizes = json.loads((folder / SIZES).read_text(encoding="utf-8"))
        with ParquetFile(folder / INTERACTIONS) as file:
            held = [*COLUMNS, *({TIME} & {*file.schema_arrow.names})]
            table = file.read(held).to_pandas()[held]
        items, users = int(sizes["items"]), int(sizes["users"])
        client, registered, profile = int(sizes["client"]), int(sizes["registered"]), str(sizes["profile"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder} is not a device's data folder ({error}); {MADE}") from None
    if len(table) and not (table["item"].between(0, items - 1).all() and table["user"].between(0, users - 1).all()):
        raise UserError(f"{folder}: items must be in 0..{items - 1} and users in 0..{users - 1}; {MADE}")
    table, catalogue = table.drop_duplicates(COLUMNS), Catalogue.numbered(items)
    held.remove("part")
    said, columns = table["part"].to_numpy(), table[held].to_numpy(np.int64)
    chosen = (columns[said == part].T for part in PARTS)
    parts = (_interactions(owner, item, users, catalogue, *time) for owner, item, *time in chosen)
    return Device(folder, client, registered, Fold(*parts), profile, read_identity(folder))


def _frame(interactions: Interactions, part: str) -> pd.DataFrame:
    histories = interactions.histories
    times = {} if interactions.times is None else {TIME: interactions.times}
    return pd.DataFrame({"user": histories.row_index, "item": histories.values, "part": part, **times})


def _interactions(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    num_users: int,
    catalogue: Catalogue,
    times: NDArray[np.int64] | None = None,
) -> Interactions:
    order = np.argsort(users, kind="stable")
    histories = Ragged(items[order].astype(np.int32), offsets(np.bincount(users, minlength=num_users)))
    names = np.arange(num_users).astype(np.str_)
    return Interactions(names, histories, catalogue, None if times is None else times[order])
