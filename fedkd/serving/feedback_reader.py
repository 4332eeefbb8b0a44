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

UNWEIGHTED = "propensities of {} lines are not used: what was chosen counts once each, however likely it was shown"

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
    weighted : int
        Usable lines that hold propensities.
    """

    lines: tuple[Line, ...]
    unusable: Mapping[str, Sequence[str]]
    weighted: int = 0

    def remarks(self) -> list[str]:
        """Return a sentence on every kind of line that cannot be used, without what it holds, and on what is unused."""
        left_out = [
            f"left out, {reason}: {len(places)}, {', '.join(places[:NAMED])}{' ...' if len(places) > NAMED else ''}"
            for reason, places in self.unusable.items()
        ]
        return [*left_out, UNWEIGHTED.format(self.weighted)] if self.weighted else left_out


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
    lines, unusable, weighted = list[Line](), defaultdict[str, list[str]](list), 0
    for place, content in _lines(files):
        try:
            kept = Kept.model_validate_json(content)
            lines.append(_line(content, kept, position))
            weighted += kept.propensities is not None
        except ValidationError:
            unusable[MALFORMED].append(place)
        except KeyError:
            unusable[STRANGE].append(place)
    heard = Heard(tuple(lines), dict(unusable), weighted)
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


def _line(content: bytes, kept: Kept, position: Mapping[str, int]) -> Line:
    """Return the line; a ``KeyError`` where the catalogue lacks an id."""
    history, chosen = (_positions(ids, position) for ids in (kept.history or [], kept.chosen))
    return Line(hashlib.sha256(content).digest(), history, chosen)


def _positions(ids: list[str], position: Mapping[str, int]) -> History:
    return tuple(position[item] for item in ids)
