"""Sessions of users: how many interactions they have, and how far apart they are in time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedkd.data.interactions import Interactions

Ints = NDArray[np.int64]

PAUSE_MINUTES = 30.0
"""Minutes without any interaction that end a session, unless another gap is asked for."""


@dataclass(frozen=True)
class Sessions:
    """The sessions of a data set; all of them empty where it has no times.

    Attributes
    ----------
    pause : float
        Minutes without any interaction that end a session.
    lengths : ndarray of int64, shape [sessions]
        Interactions of every session.
    of_users : ndarray of int64, shape [users with interactions]
        Sessions of every user.
    within, between : ndarray of int64
        Seconds from one interaction of a user to the next: of the same session, and of the next one.
    """

    pause: float
    lengths: Ints
    of_users: Ints
    within: Ints
    between: Ints


def sessions(data: Interactions, pause: float = PAUSE_MINUTES) -> Sessions:
    """Return the sessions of a data set.

    Parameters
    ----------
    data : Interactions
        A data set, with times or without.
    pause : float
        Minutes without any interaction that end a session.
    """
    if data.times is None or not len(data):
        return Sessions(pause, *[np.zeros(0, np.int64)] * 4)
    users, gaps = data.histories.row_index, np.diff(data.times)
    same = np.diff(users) == 0
    long = gaps > 60 * pause
    begins = np.concatenate([[0], np.flatnonzero(~same | long) + 1])
    lengths = np.diff(np.append(begins, len(users)))
    of_users = np.bincount(users[begins])
    return Sessions(pause, lengths, of_users[of_users > 0], gaps[same & ~long], gaps[same & long])
