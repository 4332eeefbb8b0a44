"""The files of MovieLens: ratings, films and genres, as GroupLens publishes them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fedkd.data.years import years_of_titles
from fedkd.errors import UserError

LICENCE = "MovieLens: for research, no redistribution and no commercial use without permission (GroupLens, README)"
SUMMARY = "films rated 1 to 5, with times and genres"
COLUMNS = ["user", "item", "rating", "time"]


def content(titles: pd.Series, genres: pd.DataFrame) -> dict[str, Any]:
    """Return what is known of the films, whose years stand in their titles."""
    return {"titles": titles, "membership": genres, "years": years_of_titles(titles)}


def ratings(path: Path, separator: str, columns: list[int] | None = None) -> pd.DataFrame:
    """Read a file of user, item, rating and time, which stand in the given columns, the first four by default."""
    try:
        rows = pd.read_csv(path, sep=separator, header=None, usecols=columns or [0, 1, 2, 3], dtype=np.int64)
    except (ValueError, OSError) as error:
        raise UserError(
            f"{path} is not a MovieLens file of user, item, rating, time ({error}); fetch it anew"
        ) from None
    rows.columns = pd.Index(COLUMNS)
    return rows


def required_file(folder: Path, name: str, *others: str) -> Path:
    """Return a file of a folder; the error where there is none names the others that would do."""
    path = folder / name
    if not path.is_file():
        missing = " or ".join((name, *others))
        raise UserError(f"{folder} holds no {missing}; data.path must be the folder of the unpacked MovieLens archive")
    return path
