"""The ledger of all releases and their costs: written before anything leaves, and never forgotten.

Budgets belong to data, not to runs. Every row is keyed by whose data it is (``data_key``), so a second run, or a run
under a new name, goes on where the last one stopped. The order of a release is *charge, draw the noise, store, send*:

- ``charge`` commits the cost to disk, or refuses.
- ``store`` commits the finished bytes and returns the bytes to send: whoever stores first decides them, so a retry, and
  a second process with the same release, send identical bytes and nothing is ever noised twice.
- A crash before ``store`` leaves a cost without bytes. It stays spent; the same release may be finished later, because
  nothing of it can have been sent.

A ledger restored from an older copy is refused (``fedkd.privacy.hash_chain``), as long as its anchor is the newest:
keep that where no backup of the ledger reaches it. Against an older pair of both, hand ``head`` to somebody else (a
server, a checkpoint) and have it checked with ``expect``. Two copies in use at once are not noticed otherwise.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedkd.errors import UserError
from fedkd.privacy.budget import Budget
from fedkd.privacy.events import Cost, total
from fedkd.privacy.hash_chain import HashChain, Head, LedgerRefused, append
from fedkd.privacy.ledger_reader import Entry, LedgerReader, cost_of, ledger_paths

__all__ = ["BudgetExhausted", "Entry", "Head", "Ledger", "LedgerRefused", "Receipt", "data_key"]

MOST = 1_000_000
"""Number of releases from which no larger number is computed."""


class BudgetExhausted(UserError):
    """The error of a release that would exceed the budget; its message is the same for everybody."""

    def __init__(self) -> None:
        super().__init__("this release would exceed the privacy budget, so nothing is released")


@dataclass(frozen=True)
class Receipt:
    """A release that is paid for.

    Attributes
    ----------
    data, release : str
        Key of the owner's data, and name of the release.
    fresh : bool
        Whether this call paid; a retry finds the release paid.
    payload : bytes, optional
        The bytes to send, if they are stored already. Without them the release is still to be made, and stored.
    """

    data: str
    release: str
    fresh: bool
    payload: bytes | None


def data_key(source: str, owner: str) -> str:
    """Return the name under which the budget of someone's data is kept.

    Parameters
    ----------
    source : str
        Fingerprint of where the data come from. It must not change when a history grows: that would be a new budget.
    owner : str
        The client's lasting id there, or for a trusted server the owner of all of it.
    """
    return hashlib.sha256(json.dumps([source, owner]).encode()).hexdigest()


class Ledger(LedgerReader):
    """The ledger in one file, safe under concurrent processes and sudden death.

    Parameters
    ----------
    path : Path or str
        An SQLite file; made where there is none.
    anchor : Path or str, optional
        Where the newest row is named; beside the ledger without it.

    Raises
    ------
    LedgerRefused
        The ledger is gone while its anchor exists, was restored from an older copy, or was altered.
    """

    _chain: HashChain

    def __init__(self, path: Path | str, anchor: Path | str | None = None) -> None:
        self.path, self.anchor = ledger_paths(path, anchor)
        self._chain = HashChain(self.path, self.anchor)

    def charge(self, data: str, release: str, cost: Cost, limit: Budget, note: str = "") -> Receipt:
        """Pay for a release before it is made; a release that is paid for is not paid twice.

        Parameters
        ----------
        data, release : str
            Key of the owner's data (``data_key``), and a unique name of the release, which only a retry repeats.
        cost : Cost
            The cost of this release, from its mechanism.
        limit : Budget
            The budget of everything released about the data, this release included.
        note : str
            The mechanism, for people.

        Raises
        ------
        BudgetExhausted
            The release would exceed the budget; nothing was written.
        """
        receipts = self.charge_all([data], release, cost, limit, note)
        if data not in receipts:
            raise BudgetExhausted
        return receipts[data]

    def charge_all(
        self, data: Iterable[str], release: str, cost: Cost, limit: Budget, note: str = ""
    ) -> dict[str, Receipt]:
        """Charge one release about each of many owners at once; those whose budget does not allow it are left out."""
        with self._chain.writing() as connection:
            receipts = {key: _charge(connection, key, release, cost, limit, note) for key in dict.fromkeys(data)}
        return {key: receipt for key, receipt in receipts.items() if receipt is not None}

    def store(self, data: str, release: str, payload: bytes) -> bytes:
        """Keep the finished bytes of a paid release, and return the bytes to send: the first that were stored."""
        return self.store_all(release, {data: payload})[data]

    def store_all(self, release: str, payloads: Mapping[str, bytes]) -> dict[str, bytes]:
        """Store the bytes of one release about each of many owners at once."""
        with self._chain.writing() as connection:
            return {key: _store(connection, key, release, payload) for key, payload in payloads.items()}

    def payload(self, data: str, release: str) -> bytes | None:
        """Return the bytes of a release, ready to be sent, or None where none are stored."""
        with self._chain.writing() as connection:
            return _payload(connection, data, release)

    def spent(self, data: str) -> Cost:
        """Return the cost of everything released about someone's data so far."""
        with self._chain.reading() as connection:
            return total(_costs(connection, data))

    def remaining(self, data: str, cost: Cost, limit: Budget) -> int:
        """Return how many more releases of a cost a budget allows, at most a million."""
        with self._chain.reading() as connection:
            paid, low, high = _costs(connection, data), 0, 1
        while high < MOST and limit.allows([*paid, cost.times(high)]):
            low, high = high, min(MOST, 2 * high)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if limit.allows([*paid, cost.times(middle)]) else (low, middle - 1)
        return low


def _charge(
    connection: sqlite3.Connection, data: str, release: str, cost: Cost, limit: Budget, note: str
) -> Receipt | None:
    query = "SELECT body FROM entries WHERE data = ? AND release = ? AND kind = 'charge'"
    paid = connection.execute(query, (data, release)).fetchone()
    if paid is not None and cost_of(json.loads(paid[0])) != cost:
        raise UserError(
            f"{release!r} was charged at another cost than {cost}; give every new release a name of its own"
        )
    allowed = _counted_alike(connection, data, limit) and limit.allows([*_costs(connection, data), cost])
    if paid is None and not allowed:
        return None
    if paid is None:
        body = {"rho": cost.rho, "gaussian": cost.gaussian, "note": note, "time": _now()}
        body |= {"adjacency": limit.adjacency, "adaptive": limit.adaptive}
        body |= {"sampled": [asdict(steps) for steps in cost.sampled]} if cost.sampled else {}
        append(connection, "charge", data, release, body)
    return Receipt(data, release, paid is None, _payload(connection, data, release))


def _counted_alike(connection: sqlite3.Connection, data: str, limit: Budget) -> bool:
    """Return whether everything released about some data so far is counted as a budget counts."""
    query = "SELECT body FROM entries WHERE data = ? AND kind = 'charge' ORDER BY sequence LIMIT 1"
    first = connection.execute(query, (data,)).fetchone()
    if first is None:
        return True
    body = json.loads(first[0])
    return bool((body["adjacency"], body["adaptive"]) == (limit.adjacency, limit.adaptive))


def _store(connection: sqlite3.Connection, data: str, release: str, payload: bytes) -> bytes:
    query = "SELECT 1 FROM entries WHERE data = ? AND release = ? AND kind = 'charge'"
    if connection.execute(query, (data, release)).fetchone() is None:
        raise UserError(f"{release!r} was never charged; charge it before it is made")
    known = _payload(connection, data, release)
    if known is not None:
        return known
    connection.execute("INSERT INTO payloads VALUES (?, ?, ?)", (data, release, payload))
    append(connection, "store", data, release, {"sha256": hashlib.sha256(payload).hexdigest()})
    return payload


def _payload(connection: sqlite3.Connection, data: str, release: str) -> bytes | None:
    query = (
        "SELECT p.payload, e.body FROM entries e LEFT JOIN payloads p ON p.data = e.data AND p.release = e.release "
        "WHERE e.data = ? AND e.release = ? AND e.kind = 'store'"
    )
    row = connection.execute(query, (data, release)).fetchone()
    if row is None:
        return None
    if not isinstance(row[0], bytes) or hashlib.sha256(row[0]).hexdigest() != json.loads(row[1])["sha256"]:
        raise LedgerRefused(f"the stored bytes of {release!r} were altered; restore the original ledger")
    return row[0]


def _costs(connection: sqlite3.Connection, data: str) -> list[Cost]:
    query = "SELECT body FROM entries WHERE data = ? AND kind = 'charge' ORDER BY sequence"
    rows = connection.execute(query, (data,))
    return [cost_of(json.loads(body)) for (body,) in rows]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
