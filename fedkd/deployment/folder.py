"""The exported folder: a model with all that belongs to it, named by a manifest that is written last.

``manifest.json`` (what is here, with a digest of every file), the model, ``catalogue.safetensors`` (ids, titles,
categories), ``items.csv`` (the same for other programs), ``MODEL_CARD.md``, ``PRIVACY_CARD.md``.
"""

import hashlib
import json
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors.numpy import load

from fedkd.atomic_file import replace_file
from fedkd.data.catalogue import FILE as CATALOGUE
from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.lists.adjustment import FILE as LISTS
from fedkd.lists.adjustment import Adjustment
from fedkd.lists.table import LIST_STEPS

MANIFEST = "manifest.json"
SCHEMA = 1
TRIES = 5
"""The number of attempts to read a folder that another process may be replacing."""

PAUSE = 0.2
"""Seconds between them."""


@dataclass(frozen=True)
class ExportFolder:
    """An exported folder, read whole.

    Attributes
    ----------
    path : Path
        Where it lies.
    manifest : mapping
        What it holds: ``format``, ``model`` (name of a file), ``files`` (digests), ``history`` (how a history is given
        to the model), ``lists`` (steps from scores to lists), ``compression``, ``algorithm``.
    contents : mapping of str to bytes
        Its files.
    """

    path: Path
    manifest: dict[str, Any]
    contents: dict[str, bytes]

    @classmethod
    def read(cls, path: Path) -> "ExportFolder":
        """Read a folder; one that is being replaced is read again.

        Raises
        ------
        UserError
            There is no exported folder, or its files are not those that its manifest names.
        """
        for _ in range(TRIES):
            manifest = read_manifest(path)
            found = {name: _bytes(path / name) for name in manifest["files"]}
            wrong = [name for name, digest in manifest["files"].items() if digest_of(found[name]) != digest]
            if not wrong:
                return cls(path, manifest, {name: content or b"" for name, content in found.items()})
            time.sleep(PAUSE)
        raise UserError(
            f"{path} is damaged or was not written to its end: {', '.join(wrong)} is not what its {MANIFEST} names; "
            "export the model again"
        )

    @property
    def model(self) -> bytes:
        """The model's file."""
        return self.contents[self.manifest["model"]]

    @cached_property
    def catalogue(self) -> Catalogue:
        """The items."""
        return Catalogue.from_bytes(self.contents[CATALOGUE])

    @cached_property
    def adjustment(self) -> Adjustment:
        """The steps between the model's scores and its lists."""
        steps = tuple(map(LIST_STEPS.made, self.manifest.get("lists", ())))
        return Adjustment.restore(steps, load(self.contents[LISTS])) if steps else Adjustment()

    @property
    def version(self) -> str:
        """Sixteen hexadecimal digits that change with the model and its items."""
        return hashlib.sha256(json.dumps(self.manifest["files"], sort_keys=True).encode()).hexdigest()[:16]


def is_exported(path: Path) -> bool:
    """Return whether a folder holds an exported model."""
    return (path / MANIFEST).is_file()


def write_folder(path: Path, manifest: dict[str, Any], contents: dict[str, bytes]) -> None:
    """Write an exported folder, or replace the one that is there: the manifest comes last, so readers see one or other.

    Raises
    ------
    UserError
        The folder holds something else.
    """
    if path.exists() and not is_exported(path) and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path} is there and holds no exported model; choose another --out, or remove it")
    path.mkdir(parents=True, exist_ok=True)
    old = set(read_manifest(path)["files"]) if is_exported(path) else set[str]()
    for name, content in contents.items():
        replace_file(path / name, content)
    whole = {"schema": SCHEMA, **manifest, "files": {name: digest_of(content) for name, content in contents.items()}}
    replace_file(path / MANIFEST, json.dumps(whole, indent=1).encode() + b"\n")
    for name in old - contents.keys():
        (path / name).unlink(missing_ok=True)


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest of a folder; a ``UserError`` if it is missing, damaged or of another version."""
    try:
        manifest = dict(json.loads((path / MANIFEST).read_text(encoding="utf-8")))
        names = [manifest["model"], CATALOGUE, *manifest["files"]]
    except FileNotFoundError:
        raise UserError(
            f"{path} is no exported folder: it has no {MANIFEST}; make one with fedkd export RUN --out {path}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path / MANIFEST} is damaged ({error}); export the model again") from None
    if manifest.get("schema") != SCHEMA or any(
        name not in manifest["files"] or Path(name).name != name for name in names
    ):
        raise UserError(f"{path / MANIFEST} is not one that this version writes; export the model again")
    return manifest


def digest_of(content: bytes | None) -> str:
    """Return the SHA-256 digest of a file's content; empty where there is no file."""
    return "" if content is None else hashlib.sha256(content).hexdigest()


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
