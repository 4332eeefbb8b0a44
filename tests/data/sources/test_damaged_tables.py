"""Damaged files of every form: the rows that stand there, or a refusal; no other count, no traceback, no cell shown."""

import bz2
import csv
import gzip
import io
import random
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fedkd.data.cleaning import Raw, left_out
from fedkd.data.sources.table_file import TableFile
from fedkd.errors import UserError

ROWS = [(f"who{u}", f"thing {i}", 1_600_000_000 + 977 * u + i) for u in range(6) for i in range(u % 3, 7)]
CELL = re.compile(r"who\d|thing|16000|\b\d{6,}\b")
"""What a message must not hold."""
COLUMNS = {"user_column": "user", "item_column": "item", "time_column": "at"}


def text(separator: str, form: str = "{}") -> bytes:
    lines = [("user", "item", "at"), *ROWS]
    return "".join(separator.join(form.format(cell) for cell in line) + "\n" for line in lines).encode()


def parquet() -> bytes:
    out = io.BytesIO()
    pd.DataFrame(ROWS, columns=["user", "item", "at"]).to_parquet(out)
    return out.getvalue()


FORMS: dict[str, Callable[[], bytes]] = {
    "csv": lambda: text(","),
    "quoted": lambda: text(";", '"{}"'),
    "tsv": lambda: text("\t"),
    "colons": lambda: text("::"),
    "ends": lambda: text(",").replace(b"\n", b",\r\n"),
    "utf-16": lambda: text(",").decode().encode("utf-16"),
    "gzip": lambda: gzip.compress(text(","), mtime=0),
    "bz2": lambda: bz2.compress(text(",")),
    "parquet": parquet,
}


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with one to three faults: changed, cut out, doubled or put in, or the end cut off."""
    for _ in range(chance.randint(1, 3)):
        at, length = chance.randrange(len(data)), chance.randint(1, 30)
        put = chance.choice([b'"', b",", b"\n", b"\0", b"\xff", b"\r", b'""', b";;", b"\t", b"::", bytes([at % 256])])
        data = chance.choice(
            [
                data[:at] + put + data[at:],
                data[:at] + put + data[at + 1 :],
                data[:at] + data[at + length :],
                data[: at + length] + data[at:],
                data[: max(4, at)],
            ]
        )
    return data


def rows_there(data: bytes) -> int:
    """Count the rows of a damaged text by means of their own."""
    lines = io.StringIO(data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"), newline=None)
    if b'"' not in data or b"\t" in data.splitlines()[0] or b"::" in data.splitlines()[0]:
        return sum(bool(line.strip()) for line in lines) - 1
    separator = ";" if b";" in data.splitlines()[0] else ","
    found = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    return sum(len(row) > 1 or bool("".join(row).strip()) for row in found) - 1


def outcome(path: Path) -> Raw | str:
    try:
        return TableFile.model_validate({"path": path, **COLUMNS}).read()
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_table_is_read_rightly_or_refused(form: str, tmp_path: Path) -> None:
    chance, path, whole = random.Random(form), tmp_path / "a", FORMS[form]()
    path.write_bytes(whole)
    good = outcome(path)
    assert isinstance(good, Raw)
    assert len(good.rows) == len(ROWS)
    refusals = 0
    for _ in range(20):
        path.write_bytes(data := damaged(whole, chance))
        found = outcome(path)
        if isinstance(found, str):
            refusals += 1
            assert not CELL.search(found), found
            assert str(path) in found or "data." in found
        elif form in ("gzip", "bz2", "parquet"):
            assert len(found.rows) == len(ROWS)
        else:
            assert len(found.rows) + sum(left_out(found.dropped).values()) == rows_there(data)
    assert refusals > 5
