"""The account of a run: who pays for a release, out of which budget, and what is sent again instead of paid again."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.serialisation import pack_arrays, unpack_arrays
from fedkd.messages.types import Answers
from fedkd.privacy.budget import Budget
from fedkd.privacy.events import Cost
from fedkd.privacy.ledger import Ledger, data_key

EVERYONE = np.array([-1])
"""The owner, in the ledger of a trusted server, of all the data behind a sum."""

EXHAUSTED = "the privacy budget is exhausted, or was begun under another adjacency or for another kind of noise"
"""Why an answer is missing; the schedule of releases alone decides it, never the data."""


@dataclass(frozen=True)
class Paid:
    """A release that is paid for.

    Attributes
    ----------
    name : str
        The release.
    owners : ndarray of int64
        Those whose budgets allowed it.
    kept : Answers, optional
        What was made of it before; it is sent again as it is.
    """

    name: str
    owners: NDArray[np.int64]
    kept: Answers | None


@dataclass(frozen=True)
class Account:
    """A ledger, seen from one run.

    Attributes
    ----------
    ledger : Ledger
        Where releases are written down.
    source : str
        Names the data that budgets belong to.
    cost : Cost
        Of one release of this run.
    limit : Budget
        What everything released about one owner's data may cost, in all runs together.
    note : str
        The mechanism, for people.
    naming : callable
        Returns the lasting name of an owner there; numbers that change from run to run would be new budgets.
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
        payload = receipts[self._key(allowed[0])].payload if allowed else None
        return Paid(name, np.array(allowed, np.int64), None if payload is None else _loads(payload))

    def keep(self, paid: Paid, answers: Answers) -> Answers:
        """Store a finished release before it leaves, and return what must leave: the first that was stored."""
        return _loads(self.ledger.store(self._key(int(paid.owners[0])), paid.name, _dumps(answers)))

    def _key(self, owner: int) -> str:
        return data_key(self.source, self.naming(owner))


@lru_cache(maxsize=16)
def open_ledger(path: Path) -> Ledger:
    """Return the ledger of a path; its rows are verified once a process, its age at every use."""
    return Ledger(path)


def refuse(answers: Answers, clients: NDArray[np.int64]) -> Answers:
    """Return answers that say whose budget is exhausted."""
    if not len(clients):
        return answers
    return replace(answers, refused={**answers.refused, EXHAUSTED: clients.tolist()})


def _dumps(answers: Answers) -> bytes:
    data, layout = pack_arrays({name: np.asarray(value) for name, value in answers.values.items()})
    head = {"round": answers.round, "clients": answers.clients.tolist(), "reference": answers.reference}
    return json.dumps({**head, "refused": dict(answers.refused), "layout": layout}).encode() + b"\n" + data


def _loads(payload: bytes) -> Answers:
    head, _, data = payload.partition(b"\n")
    about = json.loads(head)
    clients = np.array(about["clients"], np.int64)
    return Answers(about["round"], clients, unpack_arrays(data, about["layout"]), about["reference"], about["refused"])
