"""The items of a data set, with their content, in memory and as one run of bytes."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fedkd.atomic_file import replace_file
from fedkd.data.years import FIRST, LAST
from fedkd.errors import UserError

FILE = "catalogue.safetensors"
"""Name of the file in a run's, a server's and a device's folder."""

MEMORY = 1 << 30
"""Most bytes that the texts of a catalogue may take in memory, where each takes as many as the longest."""

VECTORS = "vectors/"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Catalogue:
    """The items with their content; an item is its position here.

    Attributes
    ----------
    ids : ndarray of str, shape [items]
        The source's own item ids.
    titles : ndarray of str, shape [items], optional
        What a person calls the items.
    categories : tuple of str
        Names of the categories (genres, departments), possibly none.
    membership : ndarray of bool, shape [items, categories]
        Which item is of which category.
    vectors : mapping of str to ndarray of float32, shape [items, dimensions]
        Content embeddings by modality, such as ``"text"`` or ``"image"``.
    years : ndarray of int64, shape [items], optional
        When the items were released; 0 where nobody knows.
    """

    ids: NDArray[np.str_]
    titles: NDArray[np.str_] | None = None
    categories: tuple[str, ...] = ()
    membership: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), bool))
    vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    years: NDArray[np.int64] | None = None

    @classmethod
    def numbered(cls, items: int) -> "Catalogue":
        """Return a catalogue of which the number of items alone is known; their ids are their positions."""
        return cls(np.arange(items).astype(np.str_))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with anything in the catalogue."""
        return fingerprint(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the whole catalogue in the safetensors format, texts as UTF-8 with their lengths."""
        arrays: dict[str, NDArray[Any]] = _packed("ids", self.ids.tolist())
        if self.titles is not None:
            arrays |= _packed("titles", self.titles.tolist())
        if self.categories:
            arrays |= _packed("categories", self.categories)
            arrays["membership"] = np.packbits(self.membership, axis=1)
        if self.years is not None:
            arrays["years"] = self.years.astype("<i4")
        arrays |= {VECTORS + name: np.ascontiguousarray(rows, "<f4") for name, rows in self.vectors.items()}
        return bytes(save(arrays))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Catalogue":
        """Read what ``to_bytes`` wrote; years that can be none are unknown.

        Raises
        ------
        ValueError
            The bytes are no catalogue: another format, a wrong shape, texts that are not UTF-8, or vectors that are
            not finite.
        """
        try:
            return cls._read(load(data))
        except (SafetensorError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"no catalogue ({type(error).__name__}: {error})") from None

    @classmethod
    def _read(cls, arrays: Arrays) -> "Catalogue":
        ids = np.array(_texts(arrays, "ids"), np.str_)
        items = len(ids)
        titles = np.array(_texts(arrays, "titles"), np.str_) if "titles/bytes" in arrays else None
        if titles is not None and len(titles) != items:
            raise ValueError(f"titles must be {items}, one an item; they are {len(titles)}")
        categories = tuple(_texts(arrays, "categories")) if "membership" in arrays else ()
        membership = _membership(arrays, items, len(categories))
        named = [name for name in arrays if name.startswith(VECTORS)]
        vectors = {name.removeprefix(VECTORS): _vectors(arrays, name, items) for name in named}
        return cls(ids, titles, categories, membership, vectors, _years(arrays, items))

    def write(self, path: Path) -> None:
        """Write the catalogue's file, whole or not at all."""
        replace_file(path, self.to_bytes())

    @classmethod
    def read(cls, path: Path) -> "Catalogue":
        """Read a catalogue's file; a ``UserError`` if it is missing or damaged."""
        try:
            return cls.from_bytes(path.read_bytes())
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read ({error})") from None


def fingerprint(data: bytes) -> str:
    """Return the fingerprint of a catalogue's bytes, or of any others."""
    return hashlib.sha256(data).hexdigest()[:16]


def _packed(name: str, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return texts as two arrays: all their bytes in a row, and the length of each."""
    encoded = [text.encode(errors="replace") for text in texts]
    lengths = np.array([len(text) for text in encoded], "<u4")
    return {f"{name}/bytes": np.frombuffer(b"".join(encoded), np.uint8), f"{name}/lengths": lengths}


def _texts(arrays: Arrays, name: str) -> list[str]:
    lengths = _shaped(arrays, f"{name}/lengths", "<u4", -1).astype(np.int64)
    data, ends = _shaped(arrays, f"{name}/bytes", "u1", -1).tobytes(), np.cumsum(lengths)
    if (ends[-1] if len(ends) else 0) != len(data):
        raise ValueError(f"{name} must take {len(data)} bytes, their lengths say otherwise")
    if 4 * len(lengths) * lengths.max(initial=0) > MEMORY:
        raise ValueError(f"{len(lengths)} {name} of up to {lengths.max()} bytes are too long; shorten the longest")
    return [data[end - length : end].decode() for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]


def _membership(arrays: Arrays, items: int, categories: int) -> NDArray[np.bool_]:
    if not categories:
        return np.zeros((0, 0), bool)
    bits = _shaped(arrays, "membership", "u1", items, (categories + 7) // 8)
    return np.unpackbits(bits, axis=1, count=categories).astype(bool)


def _vectors(arrays: Arrays, name: str, items: int) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = _shaped(arrays, name, "<f4", items, -1)
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} must be finite")
    return rows


def _years(arrays: Arrays, items: int) -> NDArray[np.int64] | None:
    if "years" not in arrays:
        return None
    years = _shaped(arrays, "years", "<i4", items).astype(np.int64)
    return np.where((years >= FIRST) & (years <= LAST), years, 0)


def _shaped(arrays: Arrays, name: str, dtype: str, *shape: int) -> NDArray[Any]:
    """Return a named array, checked; -1 stands for any length."""
    array = arrays[name]
    fits = len(shape) == array.ndim and all(want in (-1, have) for want, have in zip(shape, array.shape, strict=True))
    if array.dtype != dtype or not fits:
        raise ValueError(f"{name} must be {dtype} of shape {shape}, it is {array.dtype} of shape {array.shape}")
    return array
