"""Two federations that differ in one person: what a server can see besides the noised sums is the same."""

import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fedkd.privacy.ledger_account import open_ledger
from server.app import warn_once
from tests.simulations.devices import DeviceGrid, deployed

BUDGET = ["privacy.epsilon=8", "privacy.delta=1e-4", "privacy.metrics-share=0.2", "privacy.panel-share=0.2"]
BY_CHANCE = re.compile(r"[0-9.]+ s\b|student as released -?[0-9.]+ ± [0-9.]+|not evaluated")
"""Time, and what was released: its noise may drown the number of clients, and then it says nothing."""


def another_person(device: Path) -> None:
    """Replace a client's history: other items, and half as many."""
    table = pd.read_parquet(device / "interactions.parquet")
    table = table[table.index % 2 == 0].copy()
    table["item"] = (table["item"] * 7 + 3) % 40
    table.drop_duplicates(["user", "item", "part"]).to_parquet(device / "interactions.parquet", index=False)


def shapes(grid: DeviceGrid) -> list[tuple[int, str, Any]]:
    """Return type and size of everything the server received, in order."""
    return [
        (
            message.metadata.src_node_id,
            message.metadata.message_type,
            message.error.reason if message.has_error() else content_sizes(message.content),
        )
        for message in grid.seen
    ]


def content_sizes(content: Any) -> dict[str, int]:
    arrays = {f"{n}.{k}": len(a.data) for n, record in content.array_records.items() for k, a in record.items()}
    said = {f"{n}.{k}": v for n, record in content.config_records.items() for k, v in record.items() if k != "run"}
    return {**arrays, **{name: len(str(value)) for name, value in said.items()}}


def packed(what: Any) -> list[int]:
    return [size for name, size in what.items() if name.endswith("packed")] if isinstance(what, dict) else []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "sums"),
    [("central", "secure"), ("distributed", "secure"), ("local", "secure"), ("central", "clear"), ("local", "clear")],
)
def test_nothing_but_noised_sums_depends_on_a_person(
    tmp_path: Path, dealt: Path, mode: str, sums: str, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Any] = []
    for name in ("one", "other"):
        data = tmp_path / name / "data"
        shutil.copytree(dealt, data)
        if name == "other":
            another_person(data / "client-3")
        caplog.clear()
        open_ledger.cache_clear()
        warn_once.cache_clear()
        grid = deployed(tmp_path / name / "run", data, f"privacy.mode={mode}", f"privacy.sums={sums}", *BUDGET)
        clients = pd.read_parquet(tmp_path / name / "run" / "clients.parquet")
        lines = [BY_CHANCE.sub("", record.getMessage()) for record in caplog.records]
        told.append((shapes(grid), clients.to_dict("list"), [line for line in lines if str(tmp_path) not in line]))
    assert told[0][1] == told[1][1]
    assert told[0][2] == told[1][2]
    if sums == "clear":
        assert told[0][0] == told[1][0]
    else:  # keys and shares are random, their sizes are not
        assert [(node, kind) for node, kind, _ in told[0][0]] == [(node, kind) for node, kind, _ in told[1][0]]
        sizes, others = ([packed(what) for _, _, what in seen] for seen, _, _ in told)
        assert sizes == others
        assert sum(map(len, sizes)) > 100
