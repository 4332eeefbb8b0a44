"""Ledgers, and what is none, are read without a trace."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fedkd.privacy import hash_chain
from fedkd.privacy.budget import Budget
from fedkd.privacy.events import Cost
from fedkd.privacy.hash_chain import newest
from fedkd.privacy.ledger import Head, Ledger, LedgerRefused, data_key
from fedkd.privacy.ledger_reader import LedgerReader

DATA = data_key("shop", "client 7")
ONE, WIDE = Cost.of_gaussian(3.0), Budget(100.0, 1e-5)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_what_is_read_is_not_written_to(tmp_path: Path) -> None:
    book = Ledger(tmp_path / "ledger")
    book.charge(DATA, "r", ONE, WIDE)
    before, head = contents(tmp_path), book.head
    read = LedgerReader(book.path)
    assert (read.owners(), len(read.history(DATA)), read.head) == ([DATA], 1, head)
    assert contents(tmp_path) == before


def test_a_ledger_in_use_is_read_with_its_newest_rows(tmp_path: Path) -> None:
    book = Ledger(tmp_path / "ledger")
    with closing(sqlite3.connect(book.path)) as other:
        other.execute("SELECT * FROM entries").fetchone()  # its presence keeps what follows in the log beside the table
        book.charge(DATA, "r", ONE, WIDE)
        assert LedgerReader(book.path).owners() == [DATA]


def test_a_table_that_changes_under_a_reader_is_not_believed(tmp_path: Path) -> None:
    book = Ledger(tmp_path / "ledger")
    read = LedgerReader(book.path)
    with pytest.raises(LedgerRefused, match="read it again"), read._chain.reading():
        book.charge(DATA, "r", ONE, WIDE)
    assert read.owners() == [DATA]


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE interactions (user, item)")
        connection.commit()


def alike(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE entries (user, item)")
        connection.commit()


def emptied(path: Path) -> None:
    book = Ledger(path)
    book.charge(DATA, "r", ONE, WIDE)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER known")
        connection.execute("DELETE FROM entries")
        connection.commit()
    book.anchor.unlink()


def unanchored(path: Path) -> None:
    Ledger(path).anchor.unlink()


STRANGE: dict[str, Callable[[Path], object]] = {
    "another program's": foreign,
    "a table of the same name": alike,
    "text": lambda path: path.write_text("interactions" * 500),
    "empty": Path.touch,
    "emptied": emptied,
    "without its anchor": unanchored,
}


@pytest.mark.parametrize("make", STRANGE.values(), ids=STRANGE.keys())
def test_what_is_no_ledger_is_refused_and_left_as_it_is(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "file")
    before = contents(tmp_path)
    with pytest.raises(LedgerRefused, match=r"file( |\.anchor )"):
        LedgerReader(tmp_path / "file")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("make", [foreign, lambda path: path.write_text("x")], ids=["SQLite", "a single byte"])
def test_no_ledger_is_kept_in_another_programs_file(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "file")
    before = contents(tmp_path)
    with pytest.raises(LedgerRefused, match="belongs to another program"):
        Ledger(tmp_path / "file")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("body", ["{}", "[]", "no JSON", '{"rho": "x", "gaussian": true, "note": 1, "time": 1}', b"{}"])
def test_a_forged_row_that_tells_of_no_release_is_refused(tmp_path: Path, body: str | bytes) -> None:
    book = Ledger(tmp_path / "ledger")
    with book._chain.writing() as connection:
        row = (2, "charge", DATA, "r", body)
        digest = hash_chain._digest(newest(connection).digest, *row) if isinstance(body, str) else "0" * 64
        connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", (*row, digest))
    with pytest.raises(LedgerRefused, match="row 2"):
        LedgerReader(book.path).history(DATA)


@pytest.mark.parametrize("number", ["0" * 5000, "9" * 23, "²", "-1", ""])
def test_a_row_that_no_table_can_hold_is_refused(number: str) -> None:
    with pytest.raises(LedgerRefused, match="names no row"):
        Head.parse(f"{number}:{'0' * 64}")


def test_a_ledger_deleted_while_in_use_is_not_made_again(tmp_path: Path) -> None:
    book = Ledger(tmp_path / "file")
    book.path.unlink()
    with pytest.raises(LedgerRefused, match="cannot be used"):
        book.charge(DATA, "r", ONE, WIDE)
    assert not book.path.exists()
