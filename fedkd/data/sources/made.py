"""Sizes of the data sets that the program makes itself, and how long their histories are."""

from typing import ClassVar

import numpy as np
import psutil
from numpy.typing import NDArray
from pydantic import Field

from fedkd.errors import UserError
from fedkd.options import Options

LARGEST_SHARE = 0.8
"""No user takes more than this share of the catalogue."""
ACTIVITY_SPREAD = 1.0


class MadeOptions(Options):
    """Size of a data set that is made.

    Attributes
    ----------
    key : str
        The options' own key in a configuration, of the class.
    bytes_each : tuple of int
        The least memory that an interaction, a user and an item take while data are made, of the class.
    users, items : int
        How many of each.
    mean_history : float
        Mean number of interactions of a user.
    seed : int
        Seed of the generator; another seed is another data set of the same kind.
    """

    key: ClassVar[str]
    bytes_each: ClassVar[tuple[int, int, int]]

    users: int = Field(600, ge=10, le=10**8)
    items: int = Field(500, ge=20, le=10**8)
    mean_history: float = Field(60.0, gt=2)
    seed: int = Field(0, ge=0)

    def check_memory(self) -> None:
        """Refuse a size that the free memory cannot hold while it is made, with a ``UserError``."""
        row, user, item = self.bytes_each
        needed = row * self.users * self.mean_history + user * self.users + item * self.items
        available = psutil.virtual_memory().available
        if needed > available:
            raise UserError(
                f"made data of {self.users:,} users x {self.items:,} items with a mean history of "
                f"{self.mean_history:g} take at least {needed / 1e9:,.1f} GB of memory, and {available / 1e9:,.1f} GB "
                f"are free: lower {self.key}.users, {self.key}.items or {self.key}.mean-history"
            )

    def lengths(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the lengths of the histories: a minimum plus a log-normal, scaled to the mean that is asked for.

        Raises
        ------
        UserError
            The mean history exceeds 80 % of the catalogue.
        """
        mean, largest = self.mean_history, int(LARGEST_SHARE * self.items)
        if mean > largest:
            raise UserError(
                f"{self.key}.mean-history is {mean:g}, but the catalogue has only {self.items} items; at most "
                f"{largest} (80 %) is possible: lower mean-history or raise {self.key}.items"
            )
        least = max(2, round(mean / 5))
        shape = np.exp(ACTIVITY_SPREAD * rng.normal(size=self.users))
        low, high = 0.0, 1e3 * mean
        for _ in range(60):
            middle = (low + high) / 2
            short = np.minimum(least + middle * shape, largest).mean() < mean
            low, high = (middle, high) if short else (low, middle)
        return np.rint(np.minimum(least + low * shape, largest)).astype(np.int64)
