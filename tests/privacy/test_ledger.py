"""The ledger under death, retries, rollbacks, races and forgery."""

import os
import random
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from io import IOBase
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import pytest

from fedkd import atomic_file as durable
from fedkd.errors import UserError
from fedkd.privacy import hash_chain, ledger, ledger_reader
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.budget import Budget
from fedkd.privacy.events import Cost
from fedkd.privacy.ledger import BudgetExhausted, Head, Ledger, LedgerRefused, data_key
from fedkd.privacy.ledger_reader import LedgerReader

DRIVER = Path(__file__).with_name("ledger_driver.py")
DATA = data_key("shop", "client 7")
ONE = Cost.of_gaussian(3.0)
DELTA = 1e-5


def allowing(releases: int) -> Budget:
    return Budget(epsilon(ONE.times(releases), DELTA), DELTA)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: these tests are about order, not about the speed of disks."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


# --- What it promises ------------------------------------------------------------------------------------------------


def test_a_budget_ends_exactly_where_it_was_planned_to(folder: Path) -> None:
    book, limit = Ledger(folder / "ledger"), allowing(5)
    assert book.remaining(DATA, ONE, limit) == 5
    for number in range(5):
        assert book.charge(DATA, f"round {number}", ONE, limit).fresh
    with pytest.raises(BudgetExhausted):
        book.charge(DATA, "round 5", ONE, limit)
    assert book.remaining(DATA, ONE, limit) == 0
    assert epsilon(book.spent(DATA), DELTA) == pytest.approx(limit.epsilon, rel=1e-9)


def test_a_second_run_continues_the_budget_and_other_data_has_its_own(folder: Path) -> None:
    limit = allowing(3)
    for run in ("first", "second"):
        Ledger(folder / "ledger").charge(DATA, f"{run}/1", ONE, limit)
    assert Ledger(folder / "ledger").remaining(DATA, ONE, limit) == 1
    assert Ledger(folder / "ledger").remaining(data_key("shop", "client 8"), ONE, limit) == 3
    assert len({data_key("a", "b"), data_key("ab", ""), data_key("", "ab")}) == 3


def test_a_retry_sends_the_same_bytes_and_pays_once(folder: Path) -> None:
    book, limit = Ledger(folder / "ledger"), allowing(2)
    assert book.charge(DATA, "r", ONE, limit).payload is None
    assert book.store(DATA, "r", b"noised") == b"noised"
    again = Ledger(folder / "ledger").charge(DATA, "r", ONE, limit)
    assert (again.fresh, again.payload) == (False, b"noised")
    assert book.store(DATA, "r", b"noised anew") == b"noised"
    assert book.payload(DATA, "r") == b"noised"
    assert book.payload(DATA, "s") is None
    assert book.spent(DATA) == ONE


def test_a_name_is_for_one_release_and_bytes_follow_a_charge(folder: Path) -> None:
    book = Ledger(folder / "ledger")
    book.charge(DATA, "r", ONE, allowing(5))
    with pytest.raises(UserError, match="another cost"):
        book.charge(DATA, "r", ONE.times(2), allowing(5))
    with pytest.raises(UserError, match="never charged"):
        book.store(DATA, "s", b"free")


def test_many_owners_are_charged_at_once_and_the_exhausted_are_left_out(folder: Path) -> None:
    book, limit = Ledger(folder / "ledger"), allowing(1)
    book.charge("b", "early", ONE, limit)
    assert set(book.charge_all(["a", "b", "c", "a"], "r", ONE, limit)) == {"a", "c"}
    assert book.store_all("r", {"a": b"1", "c": b"2"}) == {"a": b"1", "c": b"2"}
    assert [book.spent(key) for key in "abc"] == [ONE, ONE, ONE]


def test_history_tells_what_was_paid_and_made(folder: Path) -> None:
    book = Ledger(folder / "ledger")
    book.charge(DATA, "r", ONE, allowing(5), "Gaussian, clip 1")
    book.store(DATA, "r", b"x")
    book.charge(DATA, "s", ONE.times(0.5), allowing(9))
    first, second = book.history(DATA)
    assert (first.release, first.note, first.cost, first.stored) == ("r", "Gaussian, clip 1", ONE, True)
    assert (second.cost, second.stored) == (ONE.times(0.5), False)
    assert book.history("nobody") == []


def test_a_refusal_says_the_same_to_everybody(folder: Path) -> None:
    book, messages = Ledger(folder / "ledger"), set()
    for key, count in (("a", 0), ("b", 1), ("c", 5)):
        for number in range(count):
            book.charge(key, f"r{number}", ONE, allowing(5))
        with pytest.raises(BudgetExhausted) as refusal:
            book.charge(key, "one more", ONE.times(6), allowing(5))
        messages.add(str(refusal.value))
    assert len(messages) == 1
    assert book.history("a") == []


def test_a_process_with_the_ledger_imports_nothing_heavy() -> None:
    code = "import sys, fedkd.privacy.ledger; print({'torch', 'numpy', 'scipy', 'pandas', 'flwr'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_the_disk_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("fedkd.atomic_file.os.fsync", synced.append)
    Ledger(folder / "ledger").charge(DATA, "r", ONE, allowing(5))
    assert len(synced) == 4, "anchor and folder, when made and when charged"
    with Ledger(folder / "ledger")._chain._connection() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


# --- Rollback and forgery --------------------------------------------------------------------------------------------


def copy(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def put_back(old: Path, book: Path) -> None:
    """Restore the ledger, as a checkpoint would, but not the anchor."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{book}{suffix}").unlink(missing_ok=True)
        if Path(f"{old}{suffix}").exists():
            shutil.copy(f"{old}{suffix}", f"{book}{suffix}")


@pytest.mark.parametrize("live", [False, True], ids=["reopened", "while in use"])
def test_an_older_ledger_is_refused(folder: Path, live: bool) -> None:
    (folder / "a").mkdir()
    book = Ledger(folder / "a" / "ledger")
    book.charge(DATA, "r", ONE, allowing(5))
    old = copy(folder / "a", folder / "old")
    book.store(DATA, "r", b"x")
    put_back(old / "ledger", book.path)
    with pytest.raises(LedgerRefused, match="older copy"):
        (book if live else Ledger(book.path)).charge(DATA, "s", ONE, allowing(5))


def test_an_older_pair_is_refused_by_whoever_remembers_the_head(folder: Path) -> None:
    (folder / "a").mkdir()
    book = Ledger(folder / "a" / "ledger")
    old = copy(folder / "a", folder / "old")
    book.charge(DATA, "r", ONE, allowing(5))
    remembered = Head.parse(str(book.head))
    book.expect(remembered)
    book.charge(DATA, "s", ONE, allowing(5))
    book.expect(remembered)
    with pytest.raises(LedgerRefused, match="older copy"):
        Ledger(old / "ledger").expect(remembered)
    with pytest.raises(LedgerRefused):
        Head.parse("12")


def test_a_lost_ledger_and_a_lost_anchor_are_refused(folder: Path) -> None:
    book = Ledger(folder / "ledger", folder / "elsewhere" / "anchor")
    book.charge(DATA, "r", ONE, allowing(5))
    anchor = book.anchor.read_text()
    book.anchor.unlink()
    with pytest.raises(LedgerRefused, match="anchor"):
        Ledger(book.path, book.anchor)
    book.anchor.write_text("torn")
    with pytest.raises(LedgerRefused):
        Ledger(book.path, book.anchor)
    book.anchor.write_text(anchor)
    book.path.unlink()
    with pytest.raises(LedgerRefused, match="gone"):
        Ledger(book.path, book.anchor)
    book.path.touch()
    with pytest.raises(LedgerRefused, match="older copy"):
        Ledger(book.path, book.anchor)


def test_rows_cannot_be_changed_and_forged_ones_are_found(folder: Path) -> None:
    book = Ledger(folder / "ledger")
    book.charge(DATA, "r", ONE, allowing(5))
    book.store(DATA, "r", b"x")
    with closing(sqlite3.connect(book.path)) as connection, connection:
        for statement in ("UPDATE entries SET body = '{}'", "DELETE FROM entries", "UPDATE payloads SET payload = 1"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
        connection.execute("DROP TRIGGER sent")
        connection.execute("UPDATE payloads SET payload = 'y'")
    with pytest.raises(LedgerRefused, match="altered"):
        book.charge(DATA, "r", ONE, allowing(5))
    with closing(sqlite3.connect(book.path)) as connection, connection:
        connection.execute("DROP TRIGGER kept")
        connection.execute("UPDATE entries SET body = replace(body, '0.0', '0.00') WHERE kind = 'charge'")
    with pytest.raises(LedgerRefused, match="row 2"):
        Ledger(book.path)


def test_a_file_that_is_no_ledger_is_refused(folder: Path) -> None:
    (folder / "ledger").write_bytes(b"interactions" * 500)
    with pytest.raises(LedgerRefused, match="cannot be used"):
        Ledger(folder / "ledger")


# --- Schedules of death, retry, new runs and rollback ----------------------------------------------------------------

WATCHED = {module.__file__ for module in (ledger, ledger_reader, hash_chain, durable)}


class Death(BaseException):
    """Nobody catches this, as nobody catches kill -9."""


def dying(act: Callable[[], Any], line: int, at_death: Callable[[], object]) -> Any:
    """Act until so many lines of the ledger have run; the disk then stays as it was before the next one."""
    left = [line]

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        del argument
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                at_death()
                raise Death
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return act()
    except Death as death:
        close_open(death.__traceback__)
        raise
    finally:
        sys.settrace(before)


def close_open(trail: TracebackType | None) -> None:
    """Close what the dead left open, as their operating system would; their disk was copied before."""
    for frame, _ in traceback.walk_tb(trail):
        for value in frame.f_locals.values():
            if isinstance(value, IOBase | sqlite3.Connection):
                value.close()


class World:
    """A client, its disk, and an adversary who keeps everything that was ever sent."""

    def __init__(self, seed: int, folder: Path, make: type[Ledger]) -> None:
        self.random, self.folder, self.make = random.Random(seed), folder, make
        self.limit, self.lives, self.run = allowing(self.random.randint(2, 6)), 0, 0
        self.seen: dict[str, set[bytes]] = defaultdict(set)
        self.copies: list[tuple[Path, int]] = []
        self.unfinished: set[str] = set()
        self.disk = folder / "disk 0"
        self.disk.mkdir()
        assert self.book.spent(DATA).rho == 0

    @property
    def book(self) -> Ledger:
        return self.make(self.disk / "ledger")

    def read(self) -> LedgerReader:
        """Return the ledger as it lies there, for a look."""
        return LedgerReader(self.disk / "ledger")

    def send(self, release: str) -> None:
        book = self.book
        receipt = book.charge(DATA, release, ONE, self.limit)
        payload = receipt.payload
        if payload is None:
            payload = book.store(DATA, release, secrets.token_bytes(8))
        self.seen[release].add(payload)

    def live(self, release: str) -> None:
        """Send a release, dying on the way as often as chance will have it."""
        self.unfinished.add(release)
        while self.random.random() < 0.5:
            disk = self.folder / f"disk {self.lives + 1}"
            try:
                dying(
                    partial(self.send, release), int(2 ** self.random.uniform(0, 8.5)), partial(copy, self.disk, disk)
                )
                break
            except BudgetExhausted:
                break
            except Death:
                self.disk, self.lives = disk, self.lives + 1
            self.check()
            if self.random.random() < 0.1:
                return
        try:
            self.send(release)
        except BudgetExhausted:
            assert not self.limit.allows([ONE.times(len(self.seen) + len(self.unfinished - set(self.seen)))])
        self.unfinished.discard(release)

    def back_up(self) -> None:
        target = self.folder / f"copy {len(self.copies)}"
        self.copies.append((copy(self.disk, target), self.read().head.sequence))

    def roll_back(self) -> None:
        old, sequence = self.random.choice(self.copies)
        newest, now = self.read().head.sequence, copy(self.disk, self.folder / "now")
        put_back(old / "ledger", self.disk / "ledger")
        try:
            self.send(f"run {self.run}/after a rollback of {newest - sequence}")
        except LedgerRefused:
            assert sequence < newest
        except BudgetExhausted:
            assert sequence == newest
        else:
            assert sequence == newest, "a rollback went unnoticed"
        if sequence < newest:
            put_back(now / "ledger", self.disk / "ledger")

    def check(self) -> None:
        spent = round(sum(entry.cost.rho for entry in self.read().history(DATA)) / ONE.rho)
        leaked = sum(len(versions) for versions in self.seen.values())
        assert leaked <= spent, "spent is under-counted"
        assert spent <= leaked + len(self.unfinished), "spent is over-counted by more than what never came to an end"


def schedule(seed: int, folder: Path, make: type[Ledger] = Ledger) -> World:
    world = World(seed, folder, make)
    world.back_up()
    for step in range(world.random.randint(3, 7)):
        match world.random.choice(["new", "new", "again", "run", "copy", "back"]):
            case "new":
                world.live(f"run {world.run}/{step}")
            case "again" if world.seen:
                world.live(world.random.choice(sorted(world.seen)))
            case "run":
                world.run += 1
            case "copy":
                world.back_up()
            case "back":
                world.roll_back()
        world.check()
    assert world.book.spent(DATA).rho == pytest.approx(sum(entry.cost.rho for entry in world.read().history(DATA)))
    return world


def schedules(seeds: Iterable[int], folder: Path, make: type[Ledger] = Ledger) -> tuple[int, int]:
    """Run many schedules; return all deaths, and the most releases that any left unfinished."""
    deaths = unfinished = 0
    for seed in seeds:
        here = folder / str(seed)
        here.mkdir()
        world = schedule(seed, here, make)
        deaths, unfinished = deaths + world.lives, max(unfinished, len(world.unfinished))
        shutil.rmtree(here)
    return deaths, unfinished


@pytest.mark.slow
def test_three_hundred_schedules_never_lose_a_cost(folder: Path) -> None:
    """Fifty are enough to find every ledger below that is broken."""
    deaths, unfinished = schedules(range(300), folder)
    assert deaths > 400
    assert unfinished >= 1, "no schedule left a release unfinished, so that case was not tried"


class NoisesAnew(Ledger):
    def store_all(self, release: str, payloads: Any) -> Any:
        super().store_all(release, payloads)
        return payloads

    def charge(self, *arguments: Any) -> Any:
        receipt = super().charge(*arguments)
        return ledger.Receipt(receipt.data, receipt.release, receipt.fresh, None)


class PerRun(Ledger):
    def charge(self, data: str, release: str, *rest: Any) -> Any:
        return super().charge(data + release.partition("/")[0], release, *rest)

    def store(self, data: str, release: str, payload: bytes) -> bytes:
        return super().store(data + release.partition("/")[0], release, payload)


CHAINS = (hash_chain.HashChain, hash_chain.HashChainReader)


class Trusting(Ledger):
    def __init__(self, path: Path) -> None:
        path.with_name("ledger.anchor").unlink(missing_ok=True)
        for kind in CHAINS:
            kind._check = lambda *_: None  # type: ignore[method-assign]
        super().__init__(path)


@pytest.mark.parametrize("broken", [NoisesAnew, PerRun, Trusting])
def test_the_schedules_find_a_broken_ledger(
    folder: Path, broken: type[Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in CHAINS:
        monkeypatch.setattr(kind, "_check", kind._check)
    with pytest.raises(AssertionError):
        schedules(range(50), folder, broken)


# --- Real processes --------------------------------------------------------------------------------------------------


def start(folder: Path, run: str, releases: int, epsilon: float) -> subprocess.Popen[bytes]:
    arguments = [str(folder / "ledger"), str(folder / "outbox"), run, str(releases), str(epsilon)]
    return subprocess.Popen([sys.executable, str(DRIVER), *arguments], stderr=subprocess.PIPE, env=environment())


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(DRIVER.parents[2])}


def outbox(folder: Path) -> dict[str, set[str]]:
    seen: dict[str, set[str]] = defaultdict(set)
    if (folder / "outbox").exists():
        for line in (folder / "outbox").read_text().splitlines():
            release, payload = line.split()
            seen[release].add(payload)
    return seen


@pytest.mark.slow
def test_fifty_processes_killed_outright_lose_nothing(folder: Path) -> None:
    rng, limit = random.Random(0), allowing(400)
    begun = time.monotonic()
    with start(folder / "undisturbed", "run", 1, limit.epsilon) as process:
        assert process.wait() == 0
    usual = time.monotonic() - begun  # to start and release once, on this machine as busy as it is
    for number in range(50):
        with start(folder, f"run{number // 10}", 200, limit.epsilon) as process:
            time.sleep(usual * rng.uniform(0.3, 1.8))
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stderr is not None
            assert process.stderr.read() == b""
        if not (folder / "ledger.anchor").exists():
            assert not outbox(folder), "nothing leaves before there is a ledger"
            continue
        seen, spent = outbox(folder), round(Ledger(folder / "ledger").spent(DATA).rho / ONE.rho)
        assert all(len(versions) == 1 for versions in seen.values())
        runs = number // 10 + 1
        assert len(seen) <= spent <= min(400, len(seen) + runs), "at most one pending release in every run"
    assert len(outbox(folder)) > 20


def test_two_processes_race_for_one_budget(folder: Path) -> None:
    limit = allowing(30)
    racing = [start(folder, run, 20, limit.epsilon) for run in ("same", "same", "other")]
    for process in racing:
        with process:
            assert process.wait() == 0, process.stderr.read().decode() if process.stderr else ""
    seen = outbox(folder)
    assert len(seen) == 30
    assert all(len(versions) == 1 for versions in seen.values()), "one release was noised twice"
    assert round(Ledger(folder / "ledger").spent(DATA).rho / ONE.rho) == 30


def test_whoever_makes_a_ledger_waits_for_others(folder: Path) -> None:
    """Another process may write while the journal is to be changed, for which SQLite itself does not wait."""
    path = folder / "ledger"
    other = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    release.start()
    with closing(other):
        assert Ledger(path).head.sequence == 1
        release.join()


def test_costs_of_another_adjacency_are_never_added(folder: Path) -> None:
    """Half the noise protects under add-remove what takes all of it under replace-one: their costs do not add up."""
    book, wide = Ledger(folder / "ledger"), Budget(100.0, DELTA)
    book.charge(DATA, "first", ONE, wide)
    with pytest.raises(BudgetExhausted):
        book.charge(DATA, "second", ONE, replace(wide, adjacency="replace-one"))
    assert book.spent(DATA) == ONE
    assert book.charge("another", "second", ONE, replace(wide, adjacency="replace-one")).fresh


def test_only_its_owner_reads_a_ledger(folder: Path) -> None:
    book = Ledger(folder / "ledger")
    book.charge(DATA, "first", ONE, Budget(100.0, DELTA))
    assert (folder / "ledger").stat().st_mode & 0o077 == 0
