"""Sessions: the parts of a history between which its user paused, their lengths, and how far apart they are in time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedkd.data.interactions import Interactions
from fedkd.ragged import Ragged

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
    same, long = np.diff(users) == 0, gaps > 60 * pause
    rows, owner = session_histories(data, pause)
    of_users = np.bincount(owner)
    return Sessions(pause, rows.lengths, of_users[of_users > 0], gaps[same & ~long], gaps[same & long])


def session_histories(data: Interactions, pause: float = PAUSE_MINUTES) -> tuple[Ragged, Ints]:
    """Return all sessions in the order of the histories, and the position of each one's user, shape [sessions].

    Parameters are those of `sessions`. Without times a history is one session, and an empty one too.
    """
    whole = data.histories
    if data.times is None:
        return whole, np.arange(len(whole))
    users = whole.row_index
    begins = np.flatnonzero((np.diff(users, prepend=-1) != 0) | (np.diff(data.times, prepend=0) > 60 * pause))
    return Ragged(whole.values, np.append(begins, len(users))), users[begins]
