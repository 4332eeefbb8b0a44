"""A search for settings under protection: on public users alone, so that no trial costs anything."""

from pathlib import Path

import pandas as pd

from fedkd.data.interactions import Interactions
from fedkd.data.sources.table_file import TableFile
from fedkd.errors import UserError
from fedkd.gate.requirements import EPSILON
from fedkd.privacy.options import PrivacyOptions
from fedkd.runs.config import Config
from fedkd.runs.federation import federation


def of_public_users(config: Config, folder: Path) -> tuple[str, Config]:
    """Return what a search does with private users, and the configuration of its trials.

    Every trial would be one more release about private users. Under protection the trials are therefore federations of
    the public users alone, without noise: settings that suit them may suit the noised run less. What a gate requires of
    epsilon holds for the run, as its budget is planned, and is left out of the trials.

    Parameters
    ----------
    config : Config
        The configuration of the run.
    folder : Path
        The folder of the search, which takes the public users' table.

    Raises
    ------
    UserError
        The run is protected and has no public users, or its budget is not what the gate requires.
    """
    if not (config.privacy.mechanism.active or config.privacy.student.epsilon is not None):
        return "Trials use private users without protection, and nothing is charged.", config
    together = federation(config)
    if not len(together.partition.public):
        raise UserError(
            "under protection a search uses public users alone, and there are none; set partition.public-fraction "
            "above 0, for example 0.1"
        )
    gate = config.gate.model_copy(update={"requirements": _without_epsilon(config)})
    path = folder / "public-users.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    _table(together.loaded.interactions.take(together.partition.public)).to_parquet(path, index=False)
    data = TableFile(path=path, time_column="time" if together.loaded.interactions.times is not None else "")
    said = "Trials use public users alone, without noise: no private user is touched, and nothing is charged."
    return said, config.model_copy(update={"data": data, "privacy": PrivacyOptions(), "gate": gate})


def _without_epsilon(config: Config) -> tuple[str, ...]:
    """Return what a gate requires beside the budget, which must be planned so that it holds."""
    planned = config.privacy.epsilon
    for each in config.gate.read:
        if each.quantity == EPSILON and planned is not None and planned > each.number and not each.at_least:
            raise UserError(
                f"no trial can mend {each.text!r}: privacy.epsilon is {planned:g}; set it to {each.number:g} or less"
            )
    kept = tuple(each.text for each in config.gate.read if each.quantity != EPSILON)
    if not kept:
        raise UserError(
            'the gate asks for nothing that a search could reach; add a requirement, for example "ndcg@10 >= 0.95 of '
            'teacher", to gate.requirements'
        )
    return kept


def _table(interactions: Interactions) -> pd.DataFrame:
    """Return interactions as a table, one row each."""
    rows, items = interactions.histories.row_index, interactions.catalogue.ids
    columns = {"user": interactions.users[rows], "item": items[interactions.histories.values]}
    times = {} if interactions.times is None else {"time": interactions.times}
    return pd.DataFrame(columns | times)
