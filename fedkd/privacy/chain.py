"""An append-only table in SQLite whose rows are chained by digests, and an anchor that names the newest of them.

Every row's digest covers the row before it, so no row can be changed, dropped or slipped in unseen. The anchor is a
small file written after every commit and before anything leaves: a table that lacks the anchored row is an older copy.
A crash between commit and anchor leaves the anchor behind by rows of which nothing was sent yet; the next use catches
up.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from fedkd.durable import replace_file
from fedkd.errors import UserError

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, data TEXT NOT NULL, release TEXT NOT NULL, body TEXT NOT NULL,
    digest TEXT NOT NULL, UNIQUE (data, release, kind)
);
CREATE TABLE IF NOT EXISTS payloads (
    data TEXT NOT NULL, release TEXT NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (data, release)
);
CREATE TRIGGER IF NOT EXISTS kept BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER IF NOT EXISTS known BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER IF NOT EXISTS sent BEFORE UPDATE ON payloads BEGIN SELECT RAISE(ABORT, 'payloads are append-only'); END;
CREATE TRIGGER IF NOT EXISTS held BEFORE DELETE ON payloads BEGIN SELECT RAISE(ABORT, 'payloads are append-only'); END;
"""

PATIENCE = 60.0
"""Seconds to wait for another process that writes."""

START = "0" * 64
"""What the first row's digest covers in place of a row before it."""


class LedgerRefused(UserError):
    """A ledger that is lost, older than it was, altered or unreadable; nothing may be released on its word."""


@dataclass(frozen=True)
class Head:
    """A row of a chain, and with it everything before.

    Attributes
    ----------
    sequence : int
        Its number, from 1.
    digest : str
        SHA-256 over it and all rows before it, in hexadecimal.
    """

    sequence: int
    digest: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Return the head that ``str`` wrote."""
        sequence, _, digest = text.strip().partition(":")
        if not (sequence.isascii() and sequence.isdigit()) or len(digest) != len(START):
            raise LedgerRefused(f"{text[:80]!r} names no row of a privacy ledger; restore the original file")
        return cls(int(sequence), digest)


class Chain:
    """The table in one file and its anchor in another; made where neither exists."""

    def __init__(self, path: Path, anchor: Path) -> None:
        self.path, self.anchor = path, anchor
        if anchor.exists() and not path.exists():
            raise LedgerRefused(f"the privacy ledger {path} is gone while its anchor {anchor} exists; restore it")
        self._make()
        self.verify()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that holds the only right to write; commit and anchor at the end, or leave no trace."""
        with self._connection() as connection:
            with _transaction(connection):
                self._check(connection, self._anchored())
                yield connection
            self._raise_anchor(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection to read from."""
        anchored = self._anchored()  # before the table is read: others may write, so the table may only be ahead
        with self._connection() as connection:
            self._check(connection, anchored)
            yield connection

    def expect(self, head: Head) -> None:
        """Refuse a table that does not hold a row."""
        with self.reading() as connection:
            self._contain(connection, head)

    def verify(self) -> None:
        """Refuse a table with a row that does not continue the one before it."""
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT sequence, kind, data, release, body, digest FROM entries ORDER BY sequence"
            )
            before = START
            for count, (sequence, *content, digest) in enumerate(rows, 1):
                if sequence != count or digest != _digest(before, sequence, *content):
                    raise LedgerRefused(f"row {count} of the privacy ledger {self.path} was altered; restore it")
                before = digest

    def _make(self) -> None:
        """Make the files where there are none, for their owner's eyes alone: answers with little noise lie in them."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.anchor.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise LedgerRefused(f"cannot keep a privacy ledger at {self.path} ({error.strerror})") from None
        with self._connection() as connection:
            connection.executescript(SCHEMA)
            with _transaction(connection):
                self._check(connection, self._anchored())
                if newest(connection).sequence == 0:
                    append(connection, "open", "", "", {"nonce": token_hex(16)})
            self._raise_anchor(connection)

    def _anchored(self) -> Head | None:
        try:
            return Head.parse(self.anchor.read_text(encoding="ascii"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise LedgerRefused(f"cannot read the ledger's anchor {self.anchor} ({error})") from None

    def _check(self, connection: sqlite3.Connection, anchored: Head | None) -> None:
        if anchored is not None:
            self._contain(connection, anchored)
        elif newest(connection).sequence > 1:  # the first row alone promises nothing
            raise LedgerRefused(f"the anchor {self.anchor} of the privacy ledger {self.path} is missing; restore it")

    def _contain(self, connection: sqlite3.Connection, head: Head) -> None:
        query = "SELECT digest FROM entries WHERE sequence = ?"
        row = connection.execute(query, (head.sequence,)).fetchone()
        if row is None or row[0] != head.digest:
            raise LedgerRefused(
                f"the privacy ledger {self.path} is an older copy that lacks row {head.sequence}; restore the newest, "
                "since what this one does not know of was released all the same"
            )

    def _raise_anchor(self, connection: sqlite3.Connection) -> None:
        """Name the newest row in the anchor, under the right to write, so that the anchor never goes back."""
        with _transaction(connection):
            head = newest(connection)
            if self._anchored() != head:
                replace_file(self.anchor, str(head).encode())

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
        except (sqlite3.DatabaseError, OSError) as error:
            raise LedgerRefused(f"{self.path} cannot be used as a privacy ledger: {error}") from error


def append(connection: sqlite3.Connection, kind: str, data: str, release: str, body: Mapping[str, Any]) -> None:
    """Write one more row."""
    head, text = newest(connection), json.dumps(body, sort_keys=True)
    row = (head.sequence + 1, kind, data, release, text)
    connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", (*row, _digest(head.digest, *row)))


def newest(connection: sqlite3.Connection) -> Head:
    """Return the newest row; number 0 where there is none."""
    row = connection.execute("SELECT sequence, digest FROM entries ORDER BY sequence DESC LIMIT 1").fetchone()
    return Head(*row) if row else Head(0, START)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _digest(before: str, *row: object) -> str:
    return hashlib.sha256(json.dumps([before, *row]).encode()).hexdigest()
