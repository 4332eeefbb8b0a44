"""Parquet files: the wanted columns alone, an index of pandas among them, in batches."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from fedkd.data.sources.delimited import IDS, series_of
from fedkd.data.sources.header import position
from fedkd.errors import UserError

ROWS = 1 << 20
"""Rows that are read together."""
AS_TEXT = (pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary, pa.types.is_decimal)
"""Kinds of columns that become text."""

MEND = "Look at the names with pandas.read_parquet, and set data.{role}-column to one of them"


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet files do."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def read_parquet(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return the columns of a Parquet file that have a role, shape [rows, roles].

    Users, items, groups and profiles are categories; times, dates and numbers stay what the file calls them.

    Raises
    ------
    UserError
        The file is damaged, a column is missing, or a column holds something else than one value a row.
    """
    try:
        file = parquet.ParquetFile(path)
        return _columns(path, file, columns)
    except (pa.ArrowException, OSError):  # the reason may quote a value
        raise UserError(f"{path} cannot be read as Parquet: it is damaged or cut short; fetch it anew") from None


def _columns(path: Path, file: Any, columns: Mapping[str, str]) -> pd.DataFrame:
    schema, names = file.schema_arrow, list(file.schema_arrow.names)

    def _below() -> Sequence[Sequence[str]]:
        rows = next(file.iter_batches(10), pa.RecordBatch.from_pylist([])).to_pylist()
        return [[str(row[name]) for name in names] for row in rows]

    at = {role: position(path, column, role, names, len(names), _below, MEND) for role, column in columns.items()}
    for role, place in at.items():
        if pa.types.is_nested(schema.field(place).type):
            raise UserError(
                f"{path}: column {columns[role]!r} (data.{role}-column) holds lists or tables; a row must be one user "
                "and one item, as pandas.DataFrame.explode makes it"
            )
    parts = [_part(path, batch, columns) for batch in file.iter_batches(ROWS, columns=sorted(set(columns.values())))]
    if not parts:
        raise UserError(f"{path} holds no row")
    whole = pa.concat_tables(parts)
    return pd.DataFrame({role: series_of(whole[role]) for role in columns}, copy=False)


def _part(path: Path, batch: Any, columns: Mapping[str, str]) -> pa.Table:
    try:
        return pa.table({role: _encoded(batch.column(name), role in IDS) for role, name in columns.items()})
    except pa.ArrowInvalid:
        bad = [f"data.{role}-column" for role, name in columns.items() if pa.types.is_binary(batch.column(name).type)]
        raise UserError(
            f"{path}: a column holds bytes that are no text ({' or '.join(bad)}); convert it to text or numbers"
        ) from None


def _encoded(column: pa.Array, is_id: bool) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if any(is_kind(column.type) for is_kind in AS_TEXT):
        column = column.cast(pa.string())
    return column.dictionary_encode() if is_id else column
