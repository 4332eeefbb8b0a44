"""The ledger reader, which writes neither to the file nor beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedkd.privacy.events import Cost, Steps
from fedkd.privacy.hash_chain import HashChainReader, Head, LedgerRefused, newest


@dataclass(frozen=True)
class Entry:
    """One paid release, as ``history`` returns it.

    Attributes
    ----------
    sequence : int
        Its row.
    release, note, time : str
        Which release, by which mechanism, and when (ISO 8601, UTC).
    cost : Cost
        What it cost.
    stored : bool
        Whether its bytes exist; without them nothing was sent.
    adaptive : bool
        Whether a Renyi filter counts it, with everything else about the same data.
    """

    sequence: int
    release: str
    note: str
    time: str
    cost: Cost
    stored: bool
    adaptive: bool = False


class LedgerReader:
    """Read access to a ledger.

    Parameters
    ----------
    path : Path or str
        The ledger.
    anchor : Path or str, optional
        Where the newest row is named; beside the ledger without it.

    Raises
    ------
    LedgerRefused
        It is no ledger, lost its rows or its anchor, was restored from an older copy, or was altered.
    """

    _chain: HashChainReader

    def __init__(self, path: Path | str, anchor: Path | str | None = None) -> None:
        self.path, self.anchor = ledger_paths(path, anchor)
        self._chain = HashChainReader(self.path, self.anchor)

    def owners(self) -> list[str]:
        """Return everyone about whom a release was paid, in the order of their first."""
        query = "SELECT data FROM entries WHERE kind = 'charge' GROUP BY data ORDER BY min(sequence)"
        with self._chain.reading() as connection:
            return [key for (key,) in connection.execute(query)]

    def history(self, data: str) -> list[Entry]:
        """Return every paid release of someone's data, oldest first."""
        with self._chain.reading() as connection:
            rows = connection.execute(
                "SELECT c.sequence, c.release, c.body, s.sequence IS NOT NULL FROM entries c LEFT JOIN entries s "
                "ON s.data = c.data AND s.release = c.release AND s.kind = 'store' "
                "WHERE c.kind = 'charge' AND c.data = ? ORDER BY c.sequence",
                (data,),
            ).fetchall()
        return [_entry(*row) for row in rows]

    @property
    def head(self) -> Head:
        """The newest row; opaque, and free to leave, as its place depends on the schedule alone."""
        with self._chain.reading() as connection:
            return newest(connection)

    def expect(self, head: Head) -> None:
        """Refuse a ledger that does not contain a row which somebody else remembers."""
        self._chain.expect(head)

    def verify(self) -> None:
        """Refuse a ledger whose chain of rows is broken anywhere."""
        self._chain.verify()


def ledger_paths(path: Path | str, anchor: Path | str | None) -> tuple[Path, Path]:
    """Return where a ledger and its anchor lie."""
    whole = Path(path).absolute()
    return whole, Path(anchor).absolute() if anchor else whole.with_name(whole.name + ".anchor")


def cost_of(body: Mapping[str, Any]) -> Cost:
    """Return the cost in a row."""
    sampled = tuple(Steps(**steps) for steps in body.get("sampled", []))
    return Cost(body["rho"], body["gaussian"], sampled)


def _entry(number: int, release: str, text: str, stored: int) -> Entry:
    try:
        body = json.loads(text)
        note, time, adaptive = str(body["note"]), str(body["time"]), bool(body["adaptive"])
        return Entry(number, release, note, time, cost_of(body), bool(stored), adaptive)
    except (KeyError, TypeError, ValueError):
        raise LedgerRefused(f"row {number} of the privacy ledger tells of no release; restore the original") from None
