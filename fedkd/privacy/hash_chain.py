"""An append-only table in SQLite whose rows are chained by digests, and an anchor that names the newest of them.

Every row's digest covers the row before it, so no row can be changed, dropped or slipped in unseen. The anchor is a
small file written after every commit and before anything leaves: a table that lacks the anchored row is an older copy.
A crash between commit and anchor leaves the anchor behind by rows of which nothing was sent yet; the next use catches
up.
"""

import hashlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from fedkd.atomic_file import replace_file
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

ROW = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")
"""A row's number, which SQLite can count to, and its digest."""

MAGIC = b"SQLite format 3\0"
"""First bytes of every SQLite file that is not empty."""

PATIENCE = 60.0
"""Seconds to wait for another process that writes."""

START = "0" * 64
"""The digest of the row before the first."""


class LedgerRefused(UserError):
    """The error of a ledger that is lost, an older copy, altered or unreadable, so that nothing may be released."""


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
        if not (found := ROW.fullmatch(text.strip())):
            raise LedgerRefused(
                f"{text[:80]!r} names no row of a privacy ledger; one is written as its number, a colon and 64 "
                "hexadecimal digits; give a head as fedkd ledger prints it, or restore the anchor that should hold it"
            )
        sequence, digest = found.groups()
        return cls(int(sequence), digest)


class HashChainReader:
    """The table in one file and its anchor in another, opened only for reading."""

    def __init__(self, path: Path, anchor: Path) -> None:
        self.path, self.anchor = path, anchor
        self.verify()

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
                if sequence != count or not _continues(before, sequence, content, digest):
                    raise LedgerRefused(f"row {count} of the privacy ledger {self.path} was altered; restore it")
                before = digest

    def _anchored(self) -> Head | None:
        try:
            return Head.parse(self.anchor.read_text(encoding="ascii"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise LedgerRefused(f"cannot read the ledger's anchor {self.anchor} ({error})") from None

    def _check(self, connection: sqlite3.Connection, anchored: Head | None) -> None:
        if anchored is not None:
            return self._contain(connection, anchored)
        if newest(connection).sequence == 0:
            raise LedgerRefused(f"{self.path} is no privacy ledger, or one that lost all its rows; restore it")
        raise LedgerRefused(f"the anchor {self.anchor} of the privacy ledger {self.path} is missing; restore it")

    def _contain(self, connection: sqlite3.Connection, head: Head) -> None:
        query = "SELECT digest FROM entries WHERE sequence = ?"
        row = connection.execute(query, (head.sequence,)).fetchone()
        if row is None or row[0] != head.digest:
            raise LedgerRefused(
                f"the privacy ledger {self.path} is an older copy that lacks row {head.sequence}; restore the newest, "
                "because releases that are missing in this copy were made all the same"
            )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that leaves no trace.

        SQLite reads beside writers with the help of a file that it makes where there is none. Where nobody writes it is
        opened as immutable and makes nothing, and whether somebody wrote meanwhile is checked at the end.
        """
        alone, before = not self.path.with_name(self.path.name + "-wal").exists(), self._state()
        uri = f"{self.path.as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
        try:
            with self._opened(uri) as connection:
                yield connection
        finally:
            if alone and self._state() != before:
                raise LedgerRefused(f"the privacy ledger {self.path} was written to while it was read; read it again")

    def _state(self) -> tuple[int, int]:
        """Return the time and size of the file, which differ after every write."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise LedgerRefused(f"cannot read the privacy ledger {self.path} ({error.strerror})") from None
        return status.st_mtime_ns, status.st_size

    @contextmanager
    def _opened(self, uri: str) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(uri, timeout=PATIENCE, isolation_level=None, uri=True)) as connection:
                yield connection
        except (sqlite3.DatabaseError, OSError) as error:
            raise LedgerRefused(
                f"{self.path} cannot be used as a privacy ledger ({error}); name a file that is one, or restore it"
            ) from error


class HashChain(HashChainReader):
    """The table and its anchor, to add rows to; made where neither exists."""

    def __init__(self, path: Path, anchor: Path) -> None:
        if anchor.exists() and not path.exists():
            raise LedgerRefused(f"the privacy ledger {path} is gone while its anchor {anchor} exists; restore it")
        self.path, self.anchor = path, anchor
        self._make()
        super().__init__(path, anchor)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that holds the only right to write; commit and anchor at the end, or leave no trace."""
        with self._connection() as connection:
            with _transaction(connection):
                self._check(connection, self._anchored())
                yield connection
            self._raise_anchor(connection)

    def _make(self) -> None:
        """Make the files where there are none, for their owner's eyes alone: answers with little noise lie in them."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.anchor.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise LedgerRefused(f"cannot keep a privacy ledger at {self.path} ({error.strerror})") from None
        self._refuse_foreign()
        with self._connection() as connection:
            connection.executescript(SCHEMA)
            with _transaction(connection):
                self._check(connection, self._anchored())
                if newest(connection).sequence == 0:
                    append(connection, "open", "", "", {"nonce": token_hex(16)})
            self._raise_anchor(connection)

    def _refuse_foreign(self) -> None:
        """Refuse a file of another program, before anything is changed in it."""
        with self._opened(self.path.as_uri()) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        with self.path.open("rb") as file:
            begins = file.read(len(MAGIC))
        if names - {"entries", "payloads"} or begins not in (b"", MAGIC):  # SQLite takes a single byte for nothing
            raise LedgerRefused(f"{self.path} belongs to another program; name another file for the privacy ledger")

    def _check(self, connection: sqlite3.Connection, anchored: Head | None) -> None:
        if anchored is not None or newest(connection).sequence > 1:  # the first row alone promises nothing
            super()._check(connection, anchored)

    def _raise_anchor(self, connection: sqlite3.Connection) -> None:
        """Name the newest row in the anchor, under the right to write, so that the anchor never goes back."""
        with _transaction(connection):
            head = newest(connection)
            if self._anchored() != head:
                replace_file(self.anchor, str(head).encode())

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._opened(f"{self.path.as_uri()}?mode=rw") as connection:  # one that was deleted is not made again
            _log_ahead(connection)
            connection.execute("PRAGMA synchronous = FULL")
            yield connection


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


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, and retry, because SQLite does not wait for other processes here."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _continues(before: str, sequence: int, content: Sequence[object], digest: object) -> bool:
    return all(isinstance(part, str) for part in content) and digest == _digest(before, sequence, *content)


def _digest(before: str, *row: object) -> str:
    return hashlib.sha256(json.dumps([before, *row]).encode()).hexdigest()
