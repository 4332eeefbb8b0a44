"""The account of a run in a ledger, which pays for releases and keeps them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedkd.privacy.budget import Budget
from fedkd.privacy.events import Cost
from fedkd.privacy.ledger import Ledger, data_key

EVERYONE = np.array([-1])
"""The owner, in the ledger of a trusted server, of all the data behind a sum."""


@dataclass(frozen=True)
class Paid:
    """A release that is paid for.

    Attributes
    ----------
    name : str
        The release.
    owners : ndarray of int64
        Owners whose budgets allowed it.
    kept : bytes, optional
        The release itself, if it was made before; it is sent again as it is.
    """

    name: str
    owners: NDArray[np.int64]
    kept: bytes | None = None

    @property
    def refused(self) -> bool:
        """Whether nobody's budget allowed it."""
        return not len(self.owners)


@dataclass(frozen=True)
class Account:
    """A ledger, seen from one run.

    Attributes
    ----------
    ledger : Ledger
        The record of all releases.
    source : str
        Name of the data that budgets belong to.
    cost : Cost
        The cost of one release of this run.
    limit : Budget
        The most that everything released about one owner's data may cost, in all runs together.
    note : str
        The mechanism, for people.
    naming : callable
        Returns the lasting name of an owner; a number that changes from run to run would be a new budget.
    """

    ledger: Ledger
    source: str
    cost: Cost
    limit: Budget
    note: str
    naming: Callable[[int], str] = str

    def pay(self, owners: NDArray[np.int64], name: str) -> Paid:
        """Charge a release to its owners, before it is made; nobody pays twice for one name."""
        keys = {self._key(owner): owner for owner in owners.tolist()}
        receipts = self.ledger.charge_all(keys, name, self.cost, self.limit, self.note)
        allowed = [keys[key] for key in receipts]
        return Paid(name, np.array(allowed, np.int64), receipts[self._key(allowed[0])].payload if allowed else None)

    def keep(self, paid: Paid, record: bytes) -> bytes:
        """Store a finished release before it leaves, and return what must leave: the first that was stored."""
        return self.ledger.store(self._key(int(paid.owners[0])), paid.name, record)

    def _key(self, owner: int) -> str:
        return data_key(self.source, self.naming(owner))


@lru_cache(maxsize=16)
def open_ledger(path: Path) -> Ledger:
    """Return the ledger of a path; its rows are verified once per process, its anchor at every use."""
    return Ledger(path)
