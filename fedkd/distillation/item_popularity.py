"""The popularity of items with private users too: one release, useful where public users are few or unlike them.

The items of a reference are chosen by popularity, and it is known from the public users alone unless a part of the
budget is set aside to ask. A client answers with ``x / |x|`` for its history ``x``, of norm 1 whatever its
length, so nothing is clipped away and heavy users do not decide alone. The server shrinks the noised sum towards
the public users' popularity, item by item, with the weight ``v / (v + noise^2)`` that a prior of variance ``v`` gives
the sum (Efron & Morris, Stein's estimation rule and its competitors, JASA 1973): much noise leaves the public
order. Residual distillation under noise also scales what public users show to this popularity.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.data.interactions import Interactions
from fedkd.distillation.gram_block import PRIOR_VARIANCE, unit_rows
from fedkd.messages.types import Kind, Spec

PANEL = "items"
"""Name of the array in an answer."""


def panel_spec(num_items: int) -> Mapping[str, Spec]:
    """Return the shape and clip of an answer: a number for every item of the catalogue, of norm 1 at most together."""
    return {PANEL: Spec(Kind.STATISTICS, (num_items,), clip=1.0)}


def panel_answer(histories: Interactions, owner: NDArray[np.int64], num_clients: int) -> NDArray[np.float64]:
    """Return ``x / |x|`` for every client, shape [clients, items]; the mean where a client has several users.

    Parameters
    ----------
    histories : Interactions
        The clients' users.
    owner : ndarray of int64, shape [users]
        Position of the client that each user belongs to.
    num_clients : int
        Number of clients.
    """
    users = np.maximum(np.bincount(owner, minlength=num_clients), 1)
    mean = sparse.csr_array((1.0 / users[owner], (owner, np.arange(len(owner)))), shape=(num_clients, len(owner)))
    return np.asarray((mean @ unit_rows(histories)).toarray())


def probable_popularity(
    pooled: NDArray[Any], public: Interactions, num_users: int, noise: float
) -> NDArray[np.float64]:
    """Return the popularity of every item with public and private users together, shape [items].

    Parameters
    ----------
    pooled : ndarray, shape [items]
        The noised sum of all clients' answers.
    public : Interactions
        The public users; without any the sum itself is the estimate.
    num_users : int
        Number of private users, a public constant.
    noise : float
        Standard deviation of the noise on every item of the sum.
    """
    seen = np.asarray(pooled, np.float64)
    if not len(public):
        return seen
    rows, ratio = unit_rows(public), num_users / public.num_users
    known, squares = np.asarray(rows.sum(axis=0)).ravel(), np.asarray(rows.power(2).sum(axis=0)).ravel()
    # Half the variance is the same for every item: one that no public user has is not impossible.
    variance = PRIOR_VARIANCE * ratio**2 * (squares + squares.mean()) / 2
    return np.asarray(known + ratio * known + variance / (variance + noise**2) * (seen - ratio * known))
