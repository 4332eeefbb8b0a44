"""A sparse matrix of users and items, as SciPy writes it."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from fedkd.data.formats.forms import Form, Head, Part
from fedkd.data.formats.published import Published
from fedkd.errors import UserError

ZERO = "stored value that is zero or no number"


@dataclass(frozen=True)
class Matrix(Form):
    """A file of ``scipy.sparse.save_npz``: rows are users, columns are items, values are ratings or weights."""

    def fits(self, head: Head) -> bool:
        """Say whether the file is an archive of a sparse matrix."""
        try:
            with zipfile.ZipFile(head.path) as archive:
                return {"format.npy", "shape.npy", "data.npy"} <= set(archive.namelist())
        except (OSError, zipfile.BadZipFile):
            return False

    def read(self, path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
        """Read a row per stored value, row by row; zeros are left out."""
        matrix = _matrix(path)
        good = np.isfinite(matrix.data) & (matrix.data != 0)
        order = np.lexsort((matrix.col[good], matrix.row[good]))
        columns = {"user": matrix.row, "item": matrix.col, "rating": matrix.data}
        frame = pd.DataFrame({role: values[good][order] for role, values in columns.items()})
        bad = int(np.count_nonzero(~good))
        return frame.astype({"user": "int64", "item": "int64"}), {ZERO: bad} if bad else {}


def _matrix(path: Path) -> sparse.coo_array:
    try:
        with path.open("rb") as file:
            matrix = sparse.load_npz(file)
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)
        found = sparse.coo_array(matrix)
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        raise UserError(
            f"{path} cannot be read as a sparse matrix ({type(error).__name__}): it is damaged, or no file of "
            "scipy.sparse.save_npz; write it anew"
        ) from None
    if found.data.dtype.kind not in "biuf":
        raise UserError(f"{path} holds values of type {found.data.dtype}; they must be numbers")
    return found


class NPZ(Published):
    """A user x item matrix in a file of ``scipy.sparse.save_npz``; positions are the ids."""

    group: ClassVar[str] = "your own files"
    summary: ClassVar[str] = "a sparse user x item matrix of SciPy (.npz)"
    rows: ClassVar[tuple[Part, ...]] = (Part((), Matrix()),)

    source: Literal["npz"] = "npz"
