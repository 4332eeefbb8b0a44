"""Guesses of what a file or a folder is: every source is asked, and the surest answers come first."""

import json
import shlex
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import tomli_w

from fedkd.data.cleaning import REPEATED
from fedkd.data.formats.forms import bare_name
from fedkd.data.formats.json_lines import ARRAY
from fedkd.data.sources.compressed import check_text, opened
from fedkd.data.sources.detection import HEAD
from fedkd.data.sources.guess import Guess
from fedkd.data.sources.table import SOURCES
from fedkd.errors import UserError
from fedkd.options import kebab

SAMPLE = 2**20
"""Bytes of a file in which repeated rows are looked for."""

MOST = 20
"""Files of a folder that are looked at where the folder as a whole is of no format."""


def guesses(path: Path) -> list[Guess]:
    """Return what a file or folder may be, the surest first; of equally sure ones the order of the table of sources.

    Where a folder is of no format its files are asked one by one.

    Raises
    ------
    UserError
        There is nothing at the path, or nothing that is known.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist; give the path of a file or a folder")
    found = _asked(path)
    if not found and path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())[:MOST]
        found = [guess for file in files for guess in _asked(file)]
    if not found:
        raise _unknown(path)
    return sorted(found, key=lambda guess: -guess.sure)


def _asked(path: Path) -> list[Guess]:
    found = []
    for source in SOURCES:
        with suppress(UserError):  # the file cannot be read the way that the source would
            found.append(source.guess(path))
    return [guess for guess in found if guess is not None]


def _unknown(path: Path) -> UserError:
    if path.is_file():
        with opened(path) as file:
            head = file.read(HEAD)
            file.read(1)  # a packed file that is cut gives its last bytes first, and then its error
        check_text(path, head)
        if head.lstrip()[:1] == b"[":
            return UserError(f"{path} {ARRAY}")
        if head.lstrip()[:1] == b"{":
            return UserError(
                f"{path} may hold JSON lines, but no key is called user or item; set data.source=json-lines with "
                "data.user-key and data.item-key"
            )
    return UserError(
        f"{path} is nothing that is known here; `fedkd data list` shows what is, and any table with a user and an item "
        "in every row can be read once it is CSV, TSV, Parquet or JSON lines"
    )


def repeats(guess: Guess) -> float:
    """Return the share of rows that repeat a pair of user and item, in the first rows; 0 where these cannot be read."""
    with TemporaryDirectory() as place, suppress(ValueError):
        path = guess.path if guess.path.is_dir() else guess.path.parent
        for file in guess.files or (guess.path,):
            _copy_head(file, Path(place) / file.relative_to(path).parent / bare_name(file))
        read = {"path": Path(place) if guess.path.is_dir() else Path(place) / bare_name(guess.path)}
        whole = {"largest_loss": 1, "min_user_interactions": 1, "min_item_interactions": 1}
        given = {"source": guess.source, **guess.settings, **read, **whole}
        loaded = SOURCES.find(guess.source).model_validate(given).cleaned()
        lost = loaded.dropped.get(REPEATED, 0)
        return lost / max(1, lost + len(loaded.interactions))
    return 0.0


def _copy_head(file: Path, place: Path) -> None:
    """Write the first whole lines of a text file into another; errors as of ``opened`` and ``check_text``."""
    with opened(file) as source:
        head = source.read(SAMPLE)
    check_text(file, head)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(head if len(head) < SAMPLE else head[: head.rfind(b"\n") + 1])


def settings(guess: Guess) -> dict[str, object]:
    """Return the keys of the data part of a configuration."""
    given = {kebab(key): value for key, value in guess.settings.items()}
    return {"source": guess.source, "path": str(guess.path.absolute()), **given}


def as_arguments(guess: Guess) -> str:
    """Return the ``--set`` arguments, as a shell reads them."""
    given = (f"data.{key}={json.dumps(value, ensure_ascii=False)}" for key, value in settings(guess).items())
    return " ".join(f"--set {shlex.quote(each)}" for each in given)


def as_toml(guess: Guess) -> str:
    """Return the data part of a configuration."""
    return tomli_w.dumps({"data": settings(guess)})
