"""The reference of all configuration keys, read from the classes of the configuration and their docstrings."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from fedkd.options import Options, kebab
from fedkd.registry import Reader
from fedkd.runs.config import Config

TYPES = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
OWN = "or a class of your own as `package.module:Class`"


@dataclass(frozen=True)
class Key:
    """One key of the configuration.

    Attributes
    ----------
    name : str
        The key in a file or in ``--set``: ``privacy.student.epsilon``.
    allowed : str
        Type and range, or the allowed values.
    default : str
        The default value; empty if there is none.
    meaning : str
        The description in the docstring of the key's class; empty if there is none.
    """

    name: str
    allowed: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Section:
    """Keys that belong together.

    Attributes
    ----------
    title : str
        The table of the keys, or the choice under which they are allowed.
    summary : str
        First paragraph of the docstring of their class.
    keys : tuple of Key
        In the order of the class.
    """

    title: str
    summary: str
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Alternatives:
    """The classes that one field lets a configuration choose from.

    Attributes
    ----------
    key : str
        The field in each of them that holds its name.
    members : mapping of str to type
        The classes by name.
    allowed : str
        The names, and whether there may be others.
    """

    key: str
    members: Mapping[str, type[Options]]
    allowed: str


def reference() -> list[Section]:
    """Return all keys, table by table, each followed by the classes that may be chosen in it."""
    config, fields = Config(), Config.model_fields
    tables = [name for name in fields if isinstance(getattr(config, name), Options)]
    meanings = descriptions(Config)
    run = tuple(_key(name, field, config, "") for name, field in fields.items() if name not in tables)
    out, seen = [Section("run", summary(Config), run)], set[tuple[str, type]]()
    for name in tables:
        keys, chosen = _field(name, fields[name], config, "", seen)
        text = meanings.get(name) or summary(type(getattr(config, name)))
        out += [Section(kebab(name), text, tuple(key for key in keys if key.name != kebab(name))), *chosen]
    return out


def alternatives(field: FieldInfo) -> Alternatives | None:
    """Return the classes that a field lets a configuration choose from, if it does."""
    for mark in _marks(field.annotation, field.metadata):
        if isinstance(reader := getattr(mark, "func", None), Reader):
            members = {member.label(): member for member in reader.registry}
            return Alternatives(reader.registry.base.key, members, f"{', '.join(members)}, {OWN}")
    if isinstance(key := field.discriminator, str):
        members = {member.model_fields[key].default: member for member in get_args(field.annotation)}
        return Alternatives(key, members, ", ".join(members))
    return None


def descriptions(cls: type) -> dict[str, str]:
    """Return the descriptions of a class's attributes by name, from its docstring and those of its bases."""
    out: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        text = inspect.cleandoc(base.__dict__.get("__doc__") or "")
        _, _, attributes = text.partition("Attributes\n----------\n")
        attributes = re.split(r"\n\w+\n-+\n", attributes)[0]
        for names, body in re.findall(r"^(\w[^\n]*?) : [^\n]*\n((?:(?:    [^\n]*)?(?:\n|$))+)", attributes, re.M):
            out |= dict.fromkeys(names.split(", "), " ".join(body.split()))
    return out


def summary(cls: type) -> str:
    """Return the first paragraph of a class's docstring."""
    return " ".join(inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].split())


def _table(values: Options, prefix: str, seen: set[tuple[str, type]]) -> tuple[list[Key], list[Section]]:
    """Return the keys of a table, those of tables inside included, and the sections of the classes chosen in it."""
    keys, chosen = list[Key](), list[Section]()
    for name, field in type(values).model_fields.items():
        own, more = _field(name, field, values, prefix, seen)
        keys, chosen = keys + own, chosen + more
    return keys, chosen


def _field(
    name: str, field: FieldInfo, values: Options, prefix: str, seen: set[tuple[str, type]]
) -> tuple[list[Key], list[Section]]:
    value, path = getattr(values, name, None), f"{prefix}{kebab(name)}"
    meaning = descriptions(type(values)).get(name, "")
    if (choice := alternatives(field)) is not None:
        chooser = f"{path}.{kebab(choice.key)}"
        key = Key(chooser, choice.allowed, str(getattr(value, choice.key, "")), meaning)
        return [key], list(_chosen(choice, path, seen))
    if isinstance(value, Options):
        keys, chosen = _table(value, f"{path}.", seen)
        return [Key(path, "table", "", meaning or summary(type(value))), *keys], chosen
    return [_key(name, field, values, prefix)], []


def _chosen(choice: Alternatives, path: str, seen: set[tuple[str, type]]) -> Iterator[Section]:
    """Return a section for every class, unless it is known already: several protocols choose among the same models."""
    chooser = f"{path}.{kebab(choice.key)}"
    for label, member in choice.members.items():
        if (path, member) in seen:
            continue
        seen.add((path, member))
        keys, more = _table(member.model_construct(), f"{path}.", seen)
        yield Section(f"{chooser} = {label}", summary(member), tuple(key for key in keys if key.name != chooser))
        yield from more


def _key(name: str, field: FieldInfo, values: Options, prefix: str) -> Key:
    default, meaning = _text(getattr(values, name, None)), descriptions(type(values)).get(name, "")
    return Key(f"{prefix}{kebab(name)}", _allowed(field.annotation, field.metadata), default, meaning)


def _text(value: Any) -> str:
    """Return a default as TOML has it; empty for none."""
    return "" if value is None else str(value) if isinstance(value, Path) else json.dumps(value)


def _allowed(annotation: Any, marks: Any = ()) -> str:
    """Return the type and range of a value in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _allowed(inner[0], [*inner[1:], *marks])
    if origin is Literal:
        return ", ".join(map(str, inner))
    if origin in (Union, UnionType):
        return f"{' or '.join(_allowed(kind, marks) for kind in inner if kind is not NoneType)}; may be left out"
    if origin is Mapping:
        return f"a table for every name, with {', '.join(map(kebab, inner[1].model_fields))}"
    if origin is tuple:
        count = "list" if Ellipsis in inner else f"list of {len(inner)}"
        return f"{count}: {_allowed(inner[0], marks)}"
    bounds = [
        f"{word} {_number(end)}"
        for mark in marks
        for bound, word in BOUNDS.items()
        if (end := getattr(mark, bound, None)) is not None
    ]
    return ", ".join([TYPES.get(annotation, str(annotation)), *bounds])


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _marks(annotation: Any, marks: Any) -> Iterator[Any]:
    """Return everything that annotates a type, and the types inside it."""
    yield from marks
    for inner in get_args(annotation):
        yield from _marks(inner, getattr(inner, "__metadata__", ()))
