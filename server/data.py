"""The server's own folder in a deployed run: public histories, items' content, number of clients."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from fedkd.atomic_file import replace_file
from fedkd.data.catalogue import FILE, Catalogue
from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.protocols.base import Setup
from fedkd.ragged import Ragged, offsets
from fedkd.runs.config import Config
from fedkd.runs.federation import mechanisms


def write_server_data(folder: Path, setup: Setup) -> None:
    """Write ``server.json``, ``public.parquet`` (user, item, by position, and time where told) and the catalogue."""
    folder.mkdir(parents=True, exist_ok=True)
    histories, times = setup.public.histories, setup.public.times
    held = {} if times is None else {"time": times}
    table = pd.DataFrame({"user": histories.row_index, "item": histories.values, **held})
    table.to_parquet(folder / "public.parquet", index=False)
    setup.public.catalogue.write(folder / FILE)
    sizes = {
        "items": setup.public.num_items,
        "public-users": setup.public.num_users,
        "clients": setup.num_clients,
        "private-users": setup.num_private_users,
    }
    replace_file(folder / "server.json", json.dumps(sizes).encode() + b"\n")


def read_setup(folder: Path, config: Config) -> Setup:
    """Read what ``write_server_data`` wrote.

    Raises
    ------
    UserError
        A file is missing or does not hold what it must.
    """
    try:
        sizes = json.loads((folder / "server.json").read_text(encoding="utf-8"))
        table = pd.read_parquet(folder / "public.parquet")
        users, items = int(sizes["public-users"]), int(sizes["items"])
        clients, private = int(sizes["clients"]), int(sizes["private-users"])
        catalogue = _catalogue(folder, items)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder} is not a server's data folder ({error}); make it of public users' data with python -m "
            "server.prepare, or for many clients on one machine with python -m simulations.deployment.prepare"
        ) from None
    counts = np.bincount(table["user"].to_numpy(np.int64), minlength=users)
    histories = Ragged(table["item"].to_numpy(np.int32), offsets(counts))
    times = table["time"].to_numpy(np.int64) if "time" in table else None
    public = Interactions(np.arange(users).astype(np.str_), histories, catalogue, times)
    answers = mechanisms(config, clients).answers
    known = (clients, private, config.num_server_rounds, config.seed, answers.participants, answers.answer_budget)
    return Setup(public, *known, ordered=config.split.ordered)


def _catalogue(folder: Path, items: int) -> Catalogue:
    catalogue = Catalogue.read(folder / FILE)
    if len(catalogue) != items:
        raise ValueError(f"{FILE} has {len(catalogue)} items, and server.json says {items}")
    return catalogue
