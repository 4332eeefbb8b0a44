"""Compressed files and files of other kinds, by their content."""

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fedkd.data.sources.compressed import compression, opened
from fedkd.data.sources.table_file import TableFile
from fedkd.errors import UserError

TEXT = b"user,item\n" + b"".join(b"u%d,i%d\n" % (u, i) for u in range(4) for i in range(5))


def zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def zstd(content: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(content)
    return bytes(out.getvalue().to_pybytes())


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
    "zip": lambda content: zipped({"folder/rows.csv": content, "__MACOSX/rows.csv": b"x"}),
    "": bytes,
}


@pytest.mark.parametrize("kind", PACK)
def test_a_compressed_table_is_read_whatever_its_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(PACK[kind](TEXT))
    assert compression(path) == kind
    with opened(path) as stream:
        assert stream.read() == TEXT
    found = TableFile(path=path).cleaned()
    assert len(found.interactions) == 20
    assert found.how.startswith(kind or "separated")


@pytest.mark.parametrize("kind", [kind for kind in PACK if kind])
def test_a_compressed_table_that_is_damaged_is_named(kind: str, tmp_path: Path) -> None:
    path, packed = tmp_path / "t.csv", PACK[kind](TEXT)
    path.write_bytes(packed[: len(packed) - 12])
    with pytest.raises(UserError, match=rf"t\.csv is compressed by {kind} and cannot be unpacked .*damaged"):
        TableFile(path=path).cleaned()


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    save(out := io.BytesIO())
    return out.getvalue()


def tar(out: io.BytesIO) -> None:
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("rows.csv"))


KINDS = {
    "a NumPy array": saved(lambda out: np.save(out, np.arange(3))),
    "a NumPy archive": saved(lambda out: np.savez(out, rows=np.arange(3))),
    "an Arrow file": saved(lambda out: pd.DataFrame({"user": [1], "item": [2]}).to_feather(out)),
    "a Python pickle": pickle.dumps({"user": 1}),
    "an Excel workbook": zipped({"[Content_Types].xml": b"", "xl/workbook.xml": b""}),
    "a zip archive of 2 files": zipped({"a.csv": TEXT, "b.csv": TEXT}),
    "a zip archive of 0 files": zipped({}) + b"",
    "a tar archive": saved(tar),
    "JSON": b'{"user": "u0", "words": "my private words"}\n',
    "a PDF file": b"%PDF-1.7\n",
    "zero bytes alone": b"\0" * 500,
    "empty": b"",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(KINDS[kind])
    with pytest.raises(UserError, match=kind) as caught:
        TableFile(path=path).cleaned()
    assert "private" not in str(caught.value)


def test_a_folder_and_nothing_are_named(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "is a folder"), (tmp_path / "x", "is no file")):
        with pytest.raises(UserError, match=message), opened(path):
            pass
