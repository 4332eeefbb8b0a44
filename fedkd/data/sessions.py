"""Sessions: the parts of a history between which its user paused."""

import numpy as np
from numpy.typing import NDArray

from fedkd.data.interactions import Interactions
from fedkd.ragged import Ragged

PAUSE = 1800
"""Seconds without anything that end a session."""


def sessions(users: Interactions) -> tuple[Ragged, NDArray[np.int64]]:
    """Return all sessions in the order of the histories, and the position of each one's user, shape [sessions].

    Without times a history is one session, and an empty one too.
    """
    whole = users.histories
    if users.times is None:
        return whole, np.arange(len(whole))
    owner = whole.row_index
    begins = np.flatnonzero((np.diff(owner, prepend=-1) != 0) | (np.diff(users.times, prepend=0) > PAUSE))
    return Ragged(whole.values, np.append(begins, len(owner))), owner[begins]
