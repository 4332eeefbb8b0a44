"""Sessions of made data: where they begin, and the times of all interactions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedkd.ragged import offsets

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LONGEST_GAP = 1700.0
"""Seconds: no gap within a session is longer, as half an hour without anything ends it."""
GAP_SPREAD, PAUSE_SPREAD = 1.0, 1.5
"""Standard deviations of the logarithms of gaps within sessions, and of pauses between them."""
LEAST_PAUSE = 3600.0
"""Seconds between two sessions, where the period has room for it."""
STEPS = 60


@dataclass(frozen=True)
class Slots:
    """Interactions that are going to be made, in order of users and time; all of shape [interactions].

    Attributes
    ----------
    user : ndarray of int64
    session : ndarray of int64
        Ascending; a session is of one user.
    """

    user: Ints
    session: Ints

    @property
    def begins(self) -> NDArray[np.bool_]:
        """Which interactions are the first ones of a session."""
        return np.diff(self.session, prepend=-1) > 0


def draw_slots(lengths: Ints, mean: float, spread: float, rng: np.random.Generator) -> Slots:
    """Return the sessions of users whose histories have these lengths.

    Parameters
    ----------
    lengths : ndarray of int64, shape [users]
        Interactions of every user.
    mean : float
        Mean number of interactions of a session; where histories are too short for it, every user has one session.
    spread : float
        Standard deviation of the logarithm of a session's length, before it is rounded up or down by chance and the
        last one of a user is cut: a log-normal tail.
    rng : numpy.random.Generator
        Where the lengths come from.
    """
    user = np.repeat(np.arange(len(lengths)), lengths)
    shape, chance = np.exp(spread * rng.standard_normal(len(user))), rng.random(len(user))
    low, high = 0.0, 1e6 * float(lengths.max())
    for _ in range(STEPS):
        middle = (low + high) / 2
        short = len(user) < mean * np.count_nonzero(_begins(lengths, middle * shape + chance))
        low, high = (middle, high) if short else (low, middle)
    return Slots(user, np.cumsum(_begins(lengths, high * shape + chance)) - 1)


def _begins(lengths: Ints, wanted: Floats) -> NDArray[np.bool_]:
    """Return which interactions begin a session, if sessions of the wanted lengths follow each other."""
    first = offsets(lengths)[:-1]
    size = np.clip(wanted, 1, lengths.max()).astype(np.int64)
    start = np.cumsum(size) - size
    start += np.repeat(first - start[np.minimum(first, len(start) - 1)], lengths)
    begins = np.zeros(len(size), bool)
    begins[start[start < np.repeat(first + lengths, lengths)]] = True
    return begins


def draw_times(slots: Slots, users: int, period: float, gap: float, rng: np.random.Generator) -> Floats:
    """Return seconds since the beginning of a period, shape [interactions], rising within every user.

    Parameters
    ----------
    slots : Slots
        The interactions.
    users : int
        How many users there are, those without interactions included.
    period : float
        Seconds in which everything happens.
    gap : float
        Median of the seconds between two interactions of a session.
    rng : numpy.random.Generator
        Where the times come from. Gaps and pauses are log-normal; a user's pauses are scaled to fill the period.
    """
    user, begins = slots.user, slots.begins
    within = np.minimum(gap * rng.lognormal(0.0, GAP_SPREAD, len(user)), LONGEST_GAP) * ~begins
    pause, last = (rng.lognormal(0.0, PAUSE_SPREAD, size) for size in (len(user), users))
    pause *= begins
    busy = np.bincount(user, within, users)
    hurry = np.minimum(1.0, period / 2 / np.maximum(busy, 1e-9))
    free = period - hurry * busy
    number = np.bincount(user, begins, users) + 1
    least = np.minimum(LEAST_PAUSE, free / 2 / number)
    share = (free - least * number) / (np.bincount(user, pause, users) + last)
    elapsed = np.cumsum(hurry[user] * within + share[user] * pause + least[user] * begins)
    before = np.concatenate([[0.0], elapsed])[np.searchsorted(user, np.arange(users))]
    return np.asarray(elapsed - before[user])
