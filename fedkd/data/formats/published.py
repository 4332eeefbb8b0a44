"""The base of published formats: a description of their files, and the one way to read them."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from pandas.api.types import union_categoricals

from fedkd.data.cleaning import Raw
from fedkd.data.formats.content import CONTENT, content
from fedkd.data.formats.forms import Part
from fedkd.data.sources.base import Source
from fedkd.data.sources.guess import Guess, Sure
from fedkd.data.sources.rows import rows_of
from fedkd.errors import UserError
from fedkd.options import kebab


class Published(Source):
    """A format by name: a file of it, or a folder with its files.

    Attributes
    ----------
    rows : tuple of Part
        The files with interactions, of the class; the first part of which a folder has files is read.
    items : tuple of Part
        The files with titles, categories and years, of the class; they are read where they stand beside the others.
    dated_titles : bool
        Whether titles end in the year in parentheses.
    """

    group: ClassVar[str] = "published data sets"
    dated_titles: ClassVar[bool] = False
    rows: ClassVar[tuple[Part, ...]] = ()
    items: ClassVar[tuple[Part, ...]] = ()

    def row_parts(self) -> tuple[Part, ...]:
        """Return the files with interactions, which may depend on the options."""
        return self.rows

    def item_parts(self) -> tuple[Part, ...]:
        """Return the files with content, which may depend on the options."""
        return self.items

    def read(self) -> Raw:
        """Read the interactions, and the content of their items.

        Raises
        ------
        UserError
            A file is missing, of another form, or damaged; the message names it and its line.
        """
        path, dropped = self.located(), dict[str, int]()
        part, files = self.matched(path)
        content_files = [] if part.alone else self._content_files(path)
        with self._own_words():
            frames = [_read(part, file, dropped) for file in files]
            rows, said = rows_of(_joined(files, _marked(part, files, frames)), part.time)
            told = [rows, *(_read(other, file, dropped) for other, file in content_files)]
        known = content(told, rows["item"], dropped, self.dated_titles)
        names = ", ".join(file.name for file in (*files, *(file for _, file in content_files)))
        how = ", ".join((f"files {names}", *(() if part.time else said)))
        return Raw(rows.drop(columns=[name for name in CONTENT if name in rows]), known, dropped, how)

    @contextmanager
    def _own_words(self) -> Iterator[None]:
        """Say of keys that this source does not have whose they are: the readers of text are those of any table."""
        try:
            yield
        except UserError as error:
            known = {kebab(name) for name in type(self).model_fields}
            if set(re.findall(r"data\.([a-z]+(?:-[a-z]+)*)", str(error))) <= known:
                raise
            raise UserError(f"{error} (keys of data.source=table, which reads tables of other forms)") from None

    def matched(self, path: Path) -> tuple[Part, list[Path]]:
        """Return the part that reads a file, or the files of a folder, and these.

        Raises
        ------
        UserError
            The files are not there, are several where one is meant, or are of another form.
        """
        choices = [(part, self._files(part, path)) for part in self.row_parts()]
        choices = [(part, files) for part, files in choices if files]
        if not choices:
            raise UserError(f"{path} holds no file of {self.label()}: {self.summary}; set data.path to the file itself")
        fitting = [choice for choice in choices if choice[0].fits(choice[1])] if len(choices) > 1 else choices
        if not fitting:
            raise UserError(
                f"{path} does not look like {self.label()} ({self.summary}); `fedkd data guess {path}` says what it is"
            )
        return fitting[0][0], _checked(*fitting[0])

    @classmethod
    def guess(cls, path: Path) -> Guess | None:
        """Say whether a file or folder may be of this format, by names and first lines."""
        return cls._guessed(path, {})

    @classmethod
    def _guessed(cls, path: Path, settings: Mapping[str, Any]) -> Guess | None:
        source = cls.model_validate({"path": path, **settings})
        part, files = source.matched(path)
        if not part.fits(files):
            return None
        named = sum(map(part.is_named, files)) > 0
        content = [] if part.alone else [file for _, file in source._content_files(path)]
        sure = Sure(1 + part.telling + (named or (part.telling and not part.names)))
        return Guess(cls.label(), sure, path, (*files, *content), settings)

    def _files(self, part: Part, path: Path) -> list[Path]:
        if path.is_file():
            return [path]
        content = {file for _, file in self._content_files(path)}
        return [file for file in part.files(path) if file not in content]

    def _content_files(self, path: Path) -> list[tuple[Part, Path]]:
        """Return the files with content beside a file, or in a folder."""
        folder = path if path.is_dir() else path.parent
        return [(part, file) for part in self.item_parts() for file in part.files(folder) if file != path]


def _joined(files: list[Path], frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return frames below each other, whose categories stay categories; all must have the same columns."""
    if len(frames) == 1:
        return frames[0]
    for file, frame in zip(files, frames, strict=True):
        if {*frame} != {*frames[0]}:
            names = " and ".join(", ".join(sorted({*each} - {"test"})) for each in (frames[0], frame))
            raise UserError(f"{files[0]} and {file.name} have different columns ({names}); give both the same")
    columns = {}
    for name in frames[0]:
        parts = [frame[name] for frame in frames]
        categories = all(isinstance(part.dtype, pd.CategoricalDtype) for part in parts)
        columns[name] = pd.Series(union_categoricals(parts)) if categories else pd.concat(parts, ignore_index=True)
    return pd.DataFrame(columns, copy=False)


def _read(part: Part, file: Path, dropped: dict[str, int]) -> pd.DataFrame:
    """Return the rows of a file, and count what it leaves out."""
    frame, counts = part.form.read(file)
    for reason, count in counts.items():
        dropped[reason] = dropped.get(reason, 0) + count
    return frame


def _marked(part: Part, files: list[Path], frames: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Mark the rows of the official test part, where there is one."""
    if not any(map(part.is_test, files)):
        return frames
    return [frame.assign(test=part.is_test(file)) for file, frame in zip(files, frames, strict=True)]


def _checked(part: Part, files: list[Path]) -> list[Path]:
    """Refuse several files where the names mean one."""
    if not part.several and len(files) > len(part.names) > 0:
        names = ", ".join(file.name for file in files)
        raise UserError(f"{files[0].parent} holds several data sets ({names}); set data.path to one of these files")
    return files
