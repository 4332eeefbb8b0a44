"""The base of data sources: the options that all of them have, and the way from what they read to clean histories."""

import logging
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from fedkd.data.cleaning import Keep, Raw, clean, left_out
from fedkd.data.interactions import Interactions
from fedkd.data.sources.archive import Archive
from fedkd.data.sources.guess import Guess
from fedkd.errors import UserError
from fedkd.registry import Choice


@dataclass(frozen=True)
class Loaded:
    """A source's interactions after cleaning.

    Attributes
    ----------
    interactions : Interactions
        Clean histories.
    dropped : dict of str to int
        Rows that were left out, by reason. A reason with a colon, such as ``user in several groups: the first is
        kept``, counts something else, of which no row was left out.
    name : str
        The source.
    licence : str
        Under which terms the data may be used.
    official_test : ndarray of bool, shape [interactions], optional
        Which interactions belong to the source's own test part.
    how : str
        How the source was read, where that was found out rather than stated.
    """

    interactions: Interactions
    dropped: dict[str, int]
    name: str
    licence: str
    official_test: NDArray[np.bool_] | None = None
    how: str = ""

    @property
    def said(self) -> str:
        """One line on how the data were read and what was left out; empty where there is nothing to say."""
        lost = left_out(self.dropped)
        noted = {reason: count for reason, count in self.dropped.items() if reason not in lost}
        parts = {"read as": self.how, "left out:": _counted(lost), "noted:": _counted(noted)}
        return ". ".join(f"{begin} {part}" for begin, part in parts.items() if part)


def _counted(reasons: Mapping[str, int]) -> str:
    return "; ".join(f"{count:,} x {reason}" for reason, count in reasons.items())


class Source(Choice):
    """A source of interactions, and the limits of their cleaning.

    A source of one's own subclasses this, adds its options as fields, and defines ``read``.

    Attributes
    ----------
    group, summary, licence, size, homepage : str
        For a person to read, of the class: what kind of source it is, the data in one line, the terms of use, how much
        it is, and where the data or their format are described.
    archive : Archive, optional
        The download of the class; without one, data must lie in ``path``.
    reads_path : bool
        Whether the class reads files at all.
    source : str
        The name by which a configuration chooses the class: one that ``fedkd data list`` shows, or
        ``package.module:Class``.
    path : Path, optional
        A file or folder with the data; downloaded sources use their cache without it.
    min_rating : float, optional
        Keep interactions of at least this rating; all of them without it.
    min_user_interactions, min_item_interactions : int
        Users and items with fewer interactions are dropped, and counted.
    largest_loss : float
        Share of the rows at which a loss to one reason is refused, unless another key asks for it; 1 accepts all.
    """

    key: ClassVar[str] = "source"
    group: ClassVar[str] = "your own files"
    summary: ClassVar[str] = ""
    licence: ClassVar[str] = "your own data: your own terms"
    size: ClassVar[str] = "any"
    homepage: ClassVar[str] = ""
    archive: ClassVar[Archive | None] = None
    reads_path: ClassVar[bool] = True

    source: str
    path: Path | None = None
    min_rating: float | None = None
    min_user_interactions: int = Field(2, ge=1)
    min_item_interactions: int = Field(1, ge=1)
    largest_loss: float = Field(0.5, gt=0, le=1)

    @field_validator("path", mode="before")
    @classmethod
    def _no_path(cls, value: object) -> object:
        return None if value == "" else value  # an empty path is none, not the current folder

    @model_validator(mode="after")
    def _path_is_read(self) -> "Source":
        if self.path is not None and not self.reads_path:
            raise ValueError(
                f"data.path is set, and {self.source} data are made, not read; remove data.path, or set "
                "data.source=table or another source that `fedkd data list` shows"
            )
        return self

    @property
    def name(self) -> str:
        """The lasting name of the data, for ledgers; it stays as histories grow."""
        return self.source if self.path is None else f"{self.source}:{self.path.absolute()}"

    @abstractmethod
    def read(self) -> Raw | Interactions:
        """Return the rows of the source, or interactions that need no cleaning because they were made.

        Raises
        ------
        UserError
            The source is missing or cannot be used; the message says what mends it.
        """

    def load(self) -> Loaded:
        """Read, clean and say in one line of the log what was found out and what was left out.

        Raises
        ------
        UserError
            The data are missing or wrong; the message says what mends it.
        """
        loaded = self.cleaned()
        if loaded.said:
            logging.getLogger("fedkd").warning("data: %s", loaded.said)
        return loaded

    def cleaned(self) -> Loaded:
        """Read and clean, and say nothing; errors as of ``load``."""
        found = self.read()
        if isinstance(found, Interactions):
            return self._made(found)
        limits = Keep(self.min_rating, self.min_user_interactions, self.min_item_interactions, self.largest_loss)
        done = clean(found, limits)
        return Loaded(done.interactions, done.dropped, self.source, self.licence, done.official_test, found.how)

    def _made(self, interactions: Interactions) -> Loaded:
        if self.min_rating is not None:
            raise UserError(f"data.min-rating is set, but {self.source} data has no ratings; remove it")
        return Loaded(interactions, {}, self.source, self.licence)

    @classmethod
    def guess(cls, path: Path) -> Guess | None:
        """Say whether a file or folder may hold data of this source; None where it does not, or nobody can tell."""
        return None

    @classmethod
    def fetch(cls, folder: Path | None = None) -> Path:
        """Download the archive, once, into a folder (the user's cache without one); return where its files are.

        Raises
        ------
        UserError
            There is nothing to download, or the download failed.
        """
        if cls.archive is None:
            there = f" ({cls.homepage} says where they are)" if cls.homepage else ""
            raise UserError(f"{cls.label()} needs no download; its data lie in data.path, or are made{there}")
        return cls.archive.download(cls.licence, folder)

    def located(self) -> Path:
        """Return the file or folder with the data: ``path``, the archive's folder inside it, or the download.

        Raises
        ------
        UserError
            There is nothing at the path, or no path and nothing to download.
        """
        if self.path is None and self.archive is not None:
            return self.fetch()
        if self.path is None:
            raise UserError(f"data.source {self.source} needs data.path: the file or folder to read")
        if not self.path.exists():
            raise UserError(f"data.path {self.path} does not exist; give the path of the {self.source} data")
        inside = self.path / self.archive.folder if self.archive else self.path
        return inside if inside.is_dir() else self.path
