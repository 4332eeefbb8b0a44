"""The settings that a search tries, written as ``algorithm.rank in 8, 16, 32`` or ``... from 50 to 2000 log``."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

from fedkd.errors import UserError
from fedkd.options import DataSize, Options, Searched, kebab

REACH = 5.0
"""The factor, both ways, by which a setting is searched around its value where nobody gave a range."""

_CHOICES = re.compile(r"(?P<key>[\w.-]+)\s+in\s+(?P<values>.+)")
_RANGE = re.compile(r"(?P<key>[\w.-]+)\s+from\s+(?P<low>\S+)\s+to\s+(?P<high>\S+?)(?P<log>\s+log)?")


@dataclass(frozen=True)
class Choices:
    """A setting with a few values to choose from.

    Attributes
    ----------
    key : str
        The key of the configuration.
    values : tuple
        Numbers, truth values or text.
    """

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """A number with a range.

    Attributes
    ----------
    key : str
        The key of the configuration.
    low, high : float
        Its ends, which are included.
    log : bool
        Whether it is searched on a logarithmic scale.
    whole : bool
        Whether it is a whole number.
    step : int
        Whole numbers from ``low`` on are that far apart; more than 1 goes with no logarithmic scale.
    """

    key: str
    low: float
    high: float
    log: bool
    whole: bool
    step: int = 1


Dimension = Choices | Range


def dimension(text: str) -> Dimension:
    """Read a setting to search; a ``UserError`` where it cannot be read."""
    clean = " ".join(text.split())
    if found := _CHOICES.fullmatch(clean):
        return Choices(found["key"], tuple(_value(part.strip()) for part in found["values"].split(",")))
    found = _RANGE.fullmatch(clean)
    ends = [_value(found["low"]), _value(found["high"])] if found else []
    if found is None or not all(isinstance(end, int | float) for end in ends) or not ends[0] < ends[1]:
        raise UserError(
            f"{text!r} is no setting to search; write 'algorithm.rank in 8, 16, 32' or "
            "'algorithm.regularisation from 50 to 2000 log'"
        )
    log = found["log"] is not None
    if log and ends[0] <= 0:
        raise UserError(f"{text!r}: a logarithmic range begins above 0; leave log out, or begin at a small number")
    return Range(found["key"], ends[0], ends[1], log, whole=all(isinstance(end, int) for end in ends))


def dimensions(options: Options, prefix: str, data: DataSize) -> Iterator[Dimension]:
    """Yield every setting of a part of the configuration, in ranges around its value.

    The values of a field are those that its `Searched` names. Without it they are numbers around the field's own value,
    inside its limits and those of the data, or all names of a closed choice; a number that is 0 stands for a rule of
    its own, and free text chooses other classes: neither is searched.

    Parameters
    ----------
    options : Options
        The part.
    prefix : str
        Its key.
    data : DataSize
        The size of the data that the settings are for.
    """
    for name, field in type(options).model_fields.items():
        key, value = f"{prefix}.{kebab(name)}", getattr(options, name)
        told = next((each for each in field.metadata if isinstance(each, Searched)), Searched())
        if told.needs and not getattr(options, told.needs):
            continue
        if told.values is not None:
            yield from [Choices(key, told.values)] if told.values else []
        elif isinstance(value, Options):
            yield from dimensions(value, key, data)
        elif isinstance(value, bool):
            yield Choices(key, (False, True))
        elif isinstance(value, int | float) and value > 0:
            yield from _possible(_around(key, value, field.metadata), told, options, data)
        elif get_origin(field.annotation) is Literal and len(names := get_args(field.annotation)) > 1:
            yield Choices(key, names)


def _around(key: str, value: float, limits: list[Any]) -> Range:
    """Return a range around a value, inside the limits of its field."""
    whole = isinstance(value, int)
    low, high = value / REACH, value * REACH
    for limit in limits:
        low = max(low, _end(limit, (Ge, "ge"), (Gt, "gt"), low))
        high = min(high, _end(limit, (Le, "le"), (Lt, "lt"), high))
    return Range(key, max(1, round(low)) if whole else low, round(high) if whole else high, log=True, whole=whole)


def _possible(found: Range, told: Searched, options: Options, data: DataSize) -> Iterator[Range]:
    """Yield the part of a range that is possible for the data and the other fields; nothing where none is."""
    least = max(found.low, told.least(options, data)) if told.least else found.low
    most = min(found.high, told.most(options, data)) if told.most else found.high
    step = int(getattr(options, told.multiple_of)) if told.multiple_of else 1
    low, high = (step * math.ceil(least / step), step * math.floor(most / step)) if found.whole else (least, most)
    if low <= high:
        yield replace(found, low=low, high=high, log=step == 1, step=step)


def _end(limit: Any, closed: tuple[Any, str], strict: tuple[Any, str], otherwise: float) -> float:
    """Return the end that a limit sets; a strict one is kept off by a hundredth."""
    if isinstance(limit, closed[0]):
        return float(getattr(limit, closed[1]))
    if isinstance(limit, strict[0]):
        end = float(getattr(limit, strict[1]))
        return end * (0.99 if closed[1] == "le" else 1.01)
    return otherwise


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
