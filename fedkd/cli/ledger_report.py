"""``fedkd ledger``: all releases and their cost, from a ledger that is only read."""

from pathlib import Path
from typing import Any

from rich.table import Table

from fedkd.cli.terminal import plain_table, say, show
from fedkd.errors import UserError
from fedkd.privacy.accounting import epsilon
from fedkd.privacy.calibration import check_delta
from fedkd.privacy.events import Cost, total
from fedkd.privacy.hash_chain import Head
from fedkd.privacy.ledger_reader import LedgerReader
from fedkd.privacy.renyi_filter import least_epsilon


def statement(path: Path, delta: float, owner: str = "", expected: str = "") -> dict[str, Any]:
    """Return a ledger's contents, after its rows and its age are verified.

    Parameters
    ----------
    path : Path
        The ledger.
    delta : float
        The delta at which costs are given as epsilon; above 0 and below 1.
    owner : str
        Beginning of the keys of the owners to report; all owners without it.
    expected : str
        A row that must be in the ledger, as an earlier report printed it under ``head``.

    Raises
    ------
    UserError
        There is no such ledger or owner, it lacks the expected row, it was altered, or delta means nothing.
    """
    if not path.is_file():
        raise UserError(f"{path} is no ledger; runs write privacy.ledger into their folder, devices into their own")
    check_delta(delta)
    ledger = LedgerReader(path)
    if expected:
        ledger.expect(Head.parse(expected))
    owners = [key for key in ledger.owners() if key.startswith(owner)]
    if owner and not owners:
        raise UserError(f"{path} knows no owner {owner!r}; without --owner all keys are listed")
    return {
        "ledger": str(path),
        "head": str(ledger.head),
        "delta": delta,
        "owners": [{"owner": key, "releases": _releases(ledger, key, delta)} for key in owners],
    }


def _releases(ledger: LedgerReader, owner: str, delta: float) -> list[dict[str, Any]]:
    rows, costs = [], list[Cost]()
    for entry in ledger.history(owner):
        costs.append(entry.cost)
        alone, so_far = (_epsilon(cost, delta, entry.adaptive) for cost in (entry.cost, total(costs)))
        entry_columns = {"row": entry.sequence, "time": entry.time, "release": entry.release, "mechanism": entry.note}
        counted = "a Renyi filter" if entry.adaptive else "composition"
        epsilons = {"counted-by": counted, "epsilon": alone, "epsilon-so-far": so_far}
        rows.append({**entry_columns, "made": entry.stored, **epsilons})
    return rows


def _epsilon(cost: Cost, delta: float, adaptive: bool) -> float:
    """Return the epsilon of releases, or that of the smallest budget whose filter allows them."""
    return least_epsilon(cost, delta) if adaptive else epsilon(cost, delta)


def print_ledger(contents: dict[str, Any]) -> None:
    """Print every release of a single owner, or one line for each of several."""
    owners = contents["owners"]
    say(f"{contents['ledger']}: rows verified, epsilon at delta {contents['delta']:g}", whole=True)
    if len(owners) == 1:
        say(f"owner {owners[0]['owner'][:16]}")
    show(_of_one(owners[0]) if len(owners) == 1 else _of_many(owners))
    for line in _conditions(owners):
        say(line)
    if len(owners) > 1:
        spent = [owner["releases"][-1]["epsilon-so-far"] for owner in owners]
        say(f"{len(owners):,} owners, epsilon {min(spent):.4g} to {max(spent):.4g}")
    say(f"head {contents['head']}", whole=True)


def _mechanisms(owners: list[dict[str, Any]]) -> list[str]:
    """Return the mechanisms of all owners' releases, each once, oldest first: unit, adjacency, sampling and noise."""
    return list(dict.fromkeys(row["mechanism"] for owner in owners for row in owner["releases"]))


def _conditions(owners: list[dict[str, Any]]) -> list[str]:
    """Return the conditions of every epsilon."""
    lines = [f"mechanism {number}: {text}" for number, text in enumerate(_mechanisms(owners), 1)]
    counted = dict.fromkeys(row["counted-by"] for owner in owners for row in owner["releases"])
    return [*lines, f"epsilon counted by {' or '.join(counted)}"]


def _of_one(owner: dict[str, Any]) -> Table:
    mechanisms = _mechanisms([owner])
    table = plain_table("release", numbers=("row", "epsilon", "so far", "made", "by", "time"))
    for row in owner["releases"]:
        made, by = "yes" if row["made"] else "no", str(mechanisms.index(row["mechanism"]) + 1)
        numbers = (f"{row['epsilon']:.4g}", f"{row['epsilon-so-far']:.4g}")
        table.add_row(row["release"], str(row["row"]), *numbers, made, by, row["time"][:19])
    return table


def _of_many(owners: list[dict[str, Any]]) -> Table:
    table = plain_table("owner", numbers=("releases", "epsilon", "by", "last"))
    mechanisms = _mechanisms(owners)
    for owner in owners:
        last, own = owner["releases"][-1], sorted(mechanisms.index(text) + 1 for text in _mechanisms([owner]))
        by = ", ".join(map(str, own))
        key, count = owner["owner"][:16], str(len(owner["releases"]))
        table.add_row(key, count, f"{last['epsilon-so-far']:.4g}", by, last["time"][:19])
    return table
