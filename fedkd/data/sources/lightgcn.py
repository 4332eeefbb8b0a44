"""The text format of LightGCN's data sets: a line of a user and the user's items."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from fedkd.data.cleaning import Raw
from fedkd.data.sources.base import Source
from fedkd.errors import UserError


class LightGCN(Source):
    """Lines of ``user item item ...``: a file, or a folder with ``train.txt`` and perhaps ``test.txt``.

    The rows of ``test.txt`` are the official test part; a pair in both files stays in training.
    """

    summary: ClassVar[str] = "a folder with train.txt and perhaps test.txt, lines 'user item item ...'"

    source: Literal["lightgcn"] = "lightgcn"

    def read(self) -> Raw:
        """Read the lines; a file that is missing or holds something else than whole numbers is a ``UserError``."""
        path = self.located()
        if path.is_file():
            return Raw(_read_lines(path))
        train = _read_lines(path / "train.txt")
        if not (path / "test.txt").exists():
            return Raw(train)
        test = _read_lines(path / "test.txt")
        return Raw(pd.concat([train.assign(test=False), test.assign(test=True)], ignore_index=True))


def _read_lines(path: Path) -> pd.DataFrame:
    try:
        text = path.read_text(encoding="utf-8")
        numbers = np.array(text.split(), np.int64)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; data.path must hold train.txt") from None
    except ValueError as error:
        raise UserError(f"{path} must hold lines of whole numbers, 'user item item ...': {error}") from None
    if not len(numbers):
        raise UserError(f"{path} is empty; it must hold lines of whole numbers, 'user item item ...'")
    lengths = np.array([len(line.split()) for line in text.splitlines() if line.strip()], np.int64)
    begins = np.cumsum(lengths) - lengths
    is_item = np.ones(len(numbers), bool)
    is_item[begins] = False
    return pd.DataFrame({"user": np.repeat(numbers[begins], lengths - 1), "item": numbers[is_item]})
