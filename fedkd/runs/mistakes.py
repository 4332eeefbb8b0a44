"""Explanations of mistakes in a configuration, for the person who corrects them."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from fedkd.errors import UserError
from fedkd.options import Options, kebab
from fedkd.runs.choices import CHOSEN, chosen

S = TypeVar("S", bound=Options)


def validated(kind: type[S], tree: Mapping[str, Any], what: str = "the configuration") -> S:
    """Return the settings that a nested mapping describes; a ``UserError`` lists everything wrong in it.

    Parameters
    ----------
    kind : type
        The class of the settings.
    tree : mapping
        Their values, a mapping for every table inside.
    what : str
        Their name in the error.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        lines = [explain(detail, tree, kind) for detail in error.errors()]
        raise UserError(f"{what} cannot be used:\n  " + "\n  ".join(lines)) from None


def completed(default: S, given: S | Mapping[str, Any], what: str) -> S:
    """Return settings as given, or a table of some of them completed by the default ones; errors as `validated`."""
    return validated(type(default), default.completed(given), what) if isinstance(given, Mapping) else given


def explain(detail: Any, tree: Mapping[str, Any], whole: type[Options]) -> str:
    """Return one line about a mistake: its key, the value that was given, and how to correct it.

    Parameters
    ----------
    detail : mapping
        One of pydantic's errors.
    tree : mapping
        The given configuration.
    whole : type
        The class of the whole configuration.
    """
    key = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        return f"{key}: no such key{_did_you_mean(key, tree, whole)}"
    if detail["type"] == "value_error":
        error = detail["ctx"]["error"]
        if key in CHOSEN and isinstance(error, UserError):  # nothing has the name
            key += f".{CHOSEN[key].base.key}"
        return ": ".join(part for part in (key, str(error)) if part)
    if detail["type"] == "model_type" or (key in CHOSEN and not isinstance(detail["input"], Mapping)):
        return f"{key}: {detail['input']!r} is no table of keys{_name_it(key, detail['input'])}"
    return f"{key}: {detail['msg'][0].lower()}{detail['msg'][1:]}, got {detail['input']!r}"


def _name_it(key: str, value: Any) -> str:
    """Return how to choose a class by its name, where somebody gave the name alone."""
    return f"; set {key}.{CHOSEN[key].base.key}={value}" if key in CHOSEN else ""


def _did_you_mean(key: str, tree: Mapping[str, Any], whole: type[Options]) -> str:
    known = {*keys(whole)}
    for part, registry in reversed(CHOSEN.items()):
        others = {f"{part}.{name}": kind.label() for kind in reversed([*registry]) for name in keys(kind)}
        if key in others:
            name = f"{part}.{registry.base.key}={others[key]}"
            return f"; it belongs to another {registry.kind} than the chosen one: leave it out, or set {name}"
        known |= others.keys() | {f"{part}.{name}" for name in keys(chosen(tree, part))}
    close = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def keys(kind: type[Options]) -> Iterator[str]:
    """Yield the keys of a part of the configuration, and of the parts inside it."""
    for name, field in kind.model_fields.items():
        yield kebab(name)
        if isinstance(field.default, Options):
            yield from (f"{kebab(name)}.{inside}" for inside in keys(type(field.default)))
