"""The log of feedback, read again; of a line that cannot be used only the number and the reason are told."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.feedback.people import History, Line
from fedkd.serving.feedback import FeedbackLog
from fedkd.serving.requests import Feedback

MALFORMED = "not a line that the service writes"
STRANGE = "ids that the catalogue does not have"

NAMED = 10
"""Lines that are named of every kind of fault."""


class Kept(Feedback):
    """A line as the service keeps it: feedback, and when it came, in seconds since 1970."""

    time: Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Heard:
    """The content of a log.

    Attributes
    ----------
    lines : tuple of Line
        The lines that can be used, the oldest first.
    unusable : mapping of str to list of str
        Where the others are, by the reason.
    """

    lines: tuple[Line, ...]
    unusable: Mapping[str, Sequence[str]]

    def remarks(self) -> list[str]:
        """Return a sentence on every kind of line that cannot be used, without what it holds."""
        return [
            f"left out, {reason}: {len(places)}, {', '.join(places[:NAMED])}{' ...' if len(places) > NAMED else ''}"
            for reason, places in self.unusable.items()
        ]


def read_log(path: Path, catalogue: Catalogue) -> Heard:
    """Return what a log and its older half tell.

    Raises
    ------
    UserError
        There is no log, or no line of it can be used.
    """
    files = FeedbackLog(path, 0).files()
    if not files:
        raise UserError(f"there is no log {path}; fedkd serve MODEL --feedback {path} writes one")
    position = {str(item): place for place, item in enumerate(catalogue.ids.tolist())}
    lines, unusable = list[Line](), defaultdict[str, list[str]](list)
    for place, content in _lines(files):
        found = _read(content, position)
        if isinstance(found, Line):
            lines.append(found)
        else:
            unusable[found].append(place)
    heard = Heard(tuple(lines), dict(unusable))
    if not lines:
        said = "; ".join(heard.remarks()) or "it is empty"
        raise UserError(
            f"{path} has no line that can be used ({said}); give the log that --feedback of a service wrote"
        )
    return heard


def _lines(files: list[Path]) -> Iterator[tuple[str, bytes]]:
    for file in files:
        with file.open("rb") as opened:
            yield from ((f"{file.name} line {number}", line.rstrip(b"\n")) for number, line in enumerate(opened, 1))


def _read(content: bytes, position: Mapping[str, int]) -> Line | str:
    """Return the line, or why it cannot be used."""
    try:
        kept = Kept.model_validate_json(content)
    except ValidationError:
        return MALFORMED
    try:
        history, chosen = (_positions(ids, position) for ids in (kept.history or [], kept.chosen))
    except KeyError:
        return STRANGE
    return Line(hashlib.sha256(content).digest(), history, chosen)


def _positions(ids: list[str], position: Mapping[str, int]) -> History:
    return tuple(position[item] for item in ids)
