"""A search for settings under protection: on public users alone, so that no trial costs anything."""

from pathlib import Path

import pandas as pd

from fedkd.data.interactions import Interactions
from fedkd.data.sources.table_file import TableFile
from fedkd.errors import UserError
from fedkd.privacy.options import PrivacyOptions
from fedkd.runs.config import Config
from fedkd.runs.federation import federation


def of_public_users(config: Config, folder: Path) -> tuple[str, Config]:
    """Return what a search does with private users, and the configuration of its trials.

    Every trial would be one more release about private users. Under protection the trials are therefore federations of
    the public users alone, without noise: settings that suit them may suit the noised run less.

    Parameters
    ----------
    config : Config
        The configuration of the run.
    folder : Path
        The folder of the search, which takes the public users' table.

    Raises
    ------
    UserError
        The run is protected and has no public users.
    """
    if not (config.privacy.mechanism.active or config.privacy.student.epsilon is not None):
        return "Trials use private users without protection, and nothing is charged.", config
    together = federation(config)
    if not len(together.partition.public):
        raise UserError(
            "under protection a search uses public users alone, and there are none; set partition.public-fraction "
            "above 0, for example 0.1"
        )
    path = folder / "public-users.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    _table(together.loaded.interactions.take(together.partition.public)).to_parquet(path, index=False)
    data = TableFile(path=path, time_column="time" if together.loaded.interactions.times is not None else "")
    said = "Trials use public users alone, without noise: no private user is touched, and nothing is charged."
    return said, config.model_copy(update={"data": data, "privacy": PrivacyOptions()})


def _table(interactions: Interactions) -> pd.DataFrame:
    """Return interactions as a table, one row each."""
    rows, items = interactions.histories.row_index, interactions.catalogue.ids
    columns = {"user": interactions.users[rows], "item": items[interactions.histories.values]}
    times = {} if interactions.times is None else {"time": interactions.times}
    return pd.DataFrame(columns | times)
