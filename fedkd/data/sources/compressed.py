"""Files as streams of bytes, unpacked where they are compressed; their content decides, never their name."""

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import pyarrow as pa

from fedkd.errors import UserError

COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
"""The first bytes of files that are unpacked."""
FOREIGN: dict[bytes, str] = {
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF file",
    b"ARROW1": "an Arrow file (Feather)",
    b"ORC": "an ORC file",
    b"\x80\x02": "a Python pickle",
    b"\x80\x03": "a Python pickle",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls)",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"PAR1": "a Parquet file",
}
"""The first bytes of files that hold no text."""
TAR = (257, b"ustar")
PACKED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    gzip.BadGzipFile,
    OSError,
    NotImplementedError,  # a zip file by a method that is not known here
    RuntimeError,  # a zip file with a password
)


def compression(path: Path) -> str:
    """Return ``gzip``, ``bz2``, ``xz``, ``zstd`` or ``zip`` by a file's first bytes; nothing for a plain file."""
    with path.open("rb") as file:
        head = file.read(6)
    begins = {
        b"\x1f\x8b": "gzip",
        b"BZh": "bz2",
        b"\xfd7zXZ\x00": "xz",
        b"\x28\xb5\x2f\xfd": "zstd",
        b"PK\x03\x04": "zip",
        b"PK\x05\x06": "zip",
    }
    return next((name for begin, name in begins.items() if head.startswith(begin)), "")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading; what is compressed by gzip, bz2, xz or zstd, or alone in a zip archive, is unpacked.

    Raises
    ------
    UserError
        There is no such file, an archive of several files, or damaged.
    """
    if not path.is_file():
        what = "is a folder; give one of its files" if path.is_dir() else "is no file; give the path of one"
        raise UserError(f"{path} {what}")
    kind = compression(path)
    with ExitStack() as stack:
        try:
            yield _stream(path, kind, stack)
        except PACKED as error:
            if not kind:
                raise
            raise UserError(
                f"{path} is compressed by {kind} and cannot be unpacked ({type(error).__name__}): it is damaged, cut "
                "short or locked; fetch it anew, or unpack it yourself"
            ) from None


def _stream(path: Path, kind: str, stack: ExitStack) -> BinaryIO:
    if kind == "zip":
        return _only_member(path, stack)
    if kind == "zstd":
        return cast(BinaryIO, stack.enter_context(pa.CompressedInputStream(str(path), "zstd")))
    openers: dict[str, Any] = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}
    file: IO[bytes] = openers[kind](path, "rb") if kind else path.open("rb")
    return cast(BinaryIO, stack.enter_context(file))


def _only_member(path: Path, stack: ExitStack) -> BinaryIO:
    """Return the file inside a zip archive that holds one."""
    archive = stack.enter_context(zipfile.ZipFile(path))
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if "[Content_Types].xml" in names:
        raise UserError(f"{path} is an Excel workbook or another office document; save the sheet as CSV")
    if names and all(name.endswith(".npy") for name in names):
        raise UserError(f"{path} is a NumPy archive (.npz); write its rows to CSV or Parquet")
    if len(names) != 1:
        raise UserError(f"{path} is a zip archive of {len(names)} files; unpack it and give one of its files")
    return cast(BinaryIO, stack.enter_context(archive.open(names[0])))


def check_text(path: Path, head: bytes) -> None:
    """Refuse the first bytes of a file, 300 or more, that is known to hold something else than text."""
    for begin, what in FOREIGN.items():
        if head.startswith(begin):
            raise UserError(f"{path} is {what}, not a text table; write its rows to CSV or Parquet")
    if head[TAR[0] :].startswith(TAR[1]):
        raise UserError(f"{path} is a tar archive; unpack it and give one of its files")
