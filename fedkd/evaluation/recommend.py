"""Lists of recommended items with their titles, for a person to read."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedkd.data.interactions import Interactions
from fedkd.errors import UserError
from fedkd.evaluation import metrics
from fedkd.models.base import Recommender, score


def top_items(model: Recommender, histories: Interactions, k: int = 10, batch_size: int = 512) -> pd.DataFrame:
    """Return the best items of every user that are not in the user's history, best first, ties by position.

    Parameters
    ----------
    model : Recommender
        Trained on the catalogue of ``histories``.
    histories : Interactions
        Users with the items that they have had, and the catalogue that tells ids and titles.
    k : int
        Length of a list; it is shorter where fewer items are left.
    batch_size : int
        Users whose scores stand in memory at a time.

    Returns
    -------
    DataFrame
        ``user`` (row of the histories), ``rank`` from 1, ``item`` (the source's id), ``title`` (empty where the
        catalogue has none) and ``score``; the users in their order.

    Raises
    ------
    UserError
        ``k`` is below 1, or the model is of another catalogue.
    """
    if k < 1:
        raise UserError(f"a list must have at least one item, k is {k}")
    check_catalogue(model, histories)
    users, starts = np.arange(histories.num_users), range(0, max(1, histories.num_users), batch_size)
    groups = [users[start : start + batch_size] for start in starts]
    parts = [best(score(model, histories.histories.take(group)), histories, group, k) for group in groups]
    return pd.concat(parts, ignore_index=True)


def best(scores: NDArray[np.float32], histories: Interactions, users: NDArray[np.int64], k: int) -> pd.DataFrame:
    """Return the best items of some users from their scores of the catalogue, as ``top_items`` does.

    Parameters
    ----------
    scores : ndarray, shape [users, items]
    histories : Interactions
        All users with the items that they have had.
    users : ndarray of int64
        The users that the scores are of, as rows of the histories.
    k : int
        Length of a list.
    """
    catalogue = histories.catalogue
    items = metrics.top_items(scores, histories.histories.take(users), k)
    row, rank = np.nonzero(items >= 0)
    item = items[row, rank]
    titles = np.full(len(item), "") if catalogue.titles is None else catalogue.titles[item]
    columns = {"user": users[row], "rank": rank + 1, "item": catalogue.ids[item], "title": titles}
    return pd.DataFrame({**columns, "score": scores[row, item]})


def check_catalogue(model: Recommender, data: Interactions) -> None:
    """Refuse a model that was trained on a catalogue of another size, with a ``UserError``."""
    if model.num_items != data.num_items:
        raise UserError(
            f"the model scores {model.num_items} items and the catalogue has {data.num_items}; give the catalogue "
            "that the model was trained on"
        )
