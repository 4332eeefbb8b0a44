"""The server's own folder in a deployed run: public histories, items' content, how many clients there are."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from fedkd.atomic_file import replace_file
from fedkd.data.interactions import Catalogue, Interactions
from fedkd.data.years import whole_years
from fedkd.errors import UserError
from fedkd.protocols.base import Setup
from fedkd.ragged import Ragged
from fedkd.runs.config import Config
from fedkd.runs.federation import protection


def write_depot(folder: Path, setup: Setup) -> None:
    """Write ``server.json`` and ``public.parquet`` (user, item, by position), and what the items are about.

    That is ``categories.parquet``, their flags, and ``years.parquet``, empty where the catalogue tells no years.
    """
    folder.mkdir(parents=True, exist_ok=True)
    histories = setup.public.histories
    table = pd.DataFrame({"user": histories.row_index, "item": histories.values})
    table.to_parquet(folder / "public.parquet", index=False)
    catalogue = setup.public.catalogue
    flags = pd.DataFrame(catalogue.membership, columns=list(catalogue.categories))
    flags.to_parquet(folder / "categories.parquet")
    years = np.zeros(0, np.int64) if catalogue.years is None else catalogue.years
    pd.DataFrame({"year": years}).to_parquet(folder / "years.parquet", index=False)
    about = {
        "items": setup.public.num_items,
        "public-users": setup.public.num_users,
        "clients": setup.num_clients,
        "private-users": setup.num_private_users,
    }
    replace_file(folder / "server.json", json.dumps(about).encode() + b"\n")


def read_setup(folder: Path, config: Config) -> Setup:
    """Read what ``write_depot`` wrote.

    Raises
    ------
    UserError
        A file is missing or does not hold what it must.
    """
    try:
        about = json.loads((folder / "server.json").read_text(encoding="utf-8"))
        table = pd.read_parquet(folder / "public.parquet", columns=["user", "item"])
        users, items = int(about["public-users"]), int(about["items"])
        clients, private = int(about["clients"]), int(about["private-users"])
        catalogue = _catalogue(folder, items)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder} is not a server's data folder ({error}); make one with python -m simulations.deployment.prepare"
        ) from None
    counts = np.bincount(table["user"].to_numpy(np.int64), minlength=users)
    histories = Ragged(table["item"].to_numpy(np.int32), np.concatenate([[0], np.cumsum(counts)]))
    public = Interactions(np.arange(users).astype(np.str_), histories, catalogue)
    guard = protection(config, clients)
    return Setup(public, clients, private, config.num_server_rounds, config.seed, guard.participants, guard.noise)


def _catalogue(folder: Path, items: int) -> Catalogue:
    flags, told = pd.read_parquet(folder / "categories.parquet"), pd.read_parquet(folder / "years.parquet")
    for name, rows, some in (("categories", len(flags), flags.shape[1]), ("years", len(told), len(told))):
        if some and rows != items:
            raise ValueError(f"{name}.parquet has {rows} rows for {items} items")
    years = np.asarray(whole_years(told["year"]), np.int64) if len(told) else None
    ids = np.arange(items).astype(np.str_)
    return Catalogue(ids, categories=tuple(flags.columns), membership=flags.to_numpy(bool), years=years)
