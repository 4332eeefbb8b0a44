"""A device's own data: one folder that no one else reads."""

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedkd.atomic_file import replace_file, replacing
from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.ragged import Ragged, offsets
from fedkd.runs.config import Config
from fedkd.secure_aggregation import Identity
from fedkd.secure_aggregation.identities import read_identity

PARTS = ("train", "history", "target")


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

    def profiles(self, clients: NDArray[np.int64], config: Config) -> NDArray[np.str_]:
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
        table = pd.DataFrame({"user": users, "item": items}).drop_duplicates()
        history = _interactions(table, self.data.history.num_users, self.data.history.num_items)
        return replace(history, catalogue=self.data.history.catalogue)

    def owner(self, client: int) -> str:
        """Return the lasting name of a client: a device holds one, under its own number."""
        return str(client)


def write_device(folder: Path, client: int, registered: int, data: Fold, profile: str = "") -> None:
    """Write one client's data: ``device.json`` and ``interactions.parquet`` (user, item, part), items by position."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    frames = [_frame(getattr(data, part), part) for part in PARTS]
    with replacing(folder / "interactions.parquet") as new:
        new.touch(0o600)
        pd.concat(frames, ignore_index=True).to_parquet(new, index=False)
    sizes = {"client": client, "registered": registered, "users": data.train.num_users, "items": data.train.num_items}
    replace_file(folder / "device.json", json.dumps({**sizes, "profile": profile}).encode() + b"\n")


@lru_cache(maxsize=4)
def read_device(folder: Path) -> Device:
    """Read what ``write_device`` wrote.

    Raises
    ------
    UserError
        A file is missing or does not hold what it must.
    """
    try:
        sizes = json.loads((folder / "device.json").read_text(encoding="utf-8"))
        table = pd.read_parquet(folder / "interactions.parquet", columns=["user", "item", "part"])
        items, users = int(sizes["items"]), int(sizes["users"])
        client, registered, profile = int(sizes["client"]), int(sizes["registered"]), str(sizes["profile"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder} is not a device's data folder ({error}); make one with python -m simulations.deployment.prepare"
        ) from None
    if len(table) and not (table["item"].between(0, items - 1).all() and table["user"].between(0, users - 1).all()):
        raise UserError(f"{folder}: items must be in 0..{items - 1} and users in 0..{users - 1}")
    table = table.drop_duplicates()
    train, history, target = (_interactions(table[table["part"] == part], users, items) for part in PARTS)
    return Device(folder, client, registered, Fold(train, history, target), profile, read_identity(folder))


def _frame(interactions: Interactions, part: str) -> pd.DataFrame:
    histories = interactions.histories
    return pd.DataFrame({"user": histories.row_index, "item": histories.values, "part": part})


def _interactions(table: pd.DataFrame, users: int, items: int) -> Interactions:
    ordered = table.sort_values("user", kind="stable")
    counts = np.bincount(ordered["user"].to_numpy(np.int64), minlength=users)
    histories = Ragged(ordered["item"].to_numpy(np.int32), offsets(counts))
    return Interactions(np.arange(users).astype(np.str_), histories, Catalogue.numbered(items))
