"""Text columns by role become ids and seconds."""

import pandas as pd

from fedkd.data.sources.table_file import _ids, _seconds


def typed(frame: pd.DataFrame, time: str = "") -> pd.DataFrame:
    """Return a frame whose users and items are ids, and whose times are seconds since 1970."""
    done = frame.copy()
    for role in ("user", "item"):
        if role in done:
            done[role] = _ids(done[role])
    if "time" in done:
        done["time"] = _times(done["time"], time)
    return done


def _times(column, time):
    if time in ("s", "ms"):
        numbers = pd.to_numeric(column, errors="coerce").astype("float64")
        return numbers / 1000 if time == "ms" else numbers
    if not time:
        return _seconds(column)
    dates = pd.to_datetime(column, errors="coerce", utc=True, format=time)
    return (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)


def alike(column: pd.Series, ids: pd.Series) -> pd.Series:
    """Return ids of the type that other ids have; those that cannot be of it are missing."""
    if pd.api.types.is_integer_dtype(ids):
        return pd.to_numeric(column, errors="coerce").astype("Int64")
    return column.astype("str").str.strip()
