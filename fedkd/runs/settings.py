"""Settings as nested plain values: read from a TOML file, changed by ``key=value``, written as dotted keys."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fedkd.errors import UserError
from fedkd.runs.choices import NAMES, forget


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, bool | int | float | str | None]]:
    """Yield the dotted keys of a tree with their values, lists as JSON."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield prefix + key, json.dumps(value)
        else:
            yield prefix + key, value


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a ``UserError`` says what is wrong with it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"cannot read the configuration {path}: {error.strerror}; give the path of a TOML file"
        ) from None
    except ValueError as error:  # no TOML, no text, or a number too long to be read
        raise UserError(f"{path} is not valid TOML: {error}") from None


def pair(override: str) -> tuple[str, Any]:
    """Split ``key=value``; the value is TOML, or text where it is none."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set takes key=value, for example --set seed=1; it got {override!r}")
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except ValueError:  # no TOML, or a number too long to be read
        return key, text


def change(tree: dict[str, Any], pairs: Iterable[tuple[str, Any]], defaults: Mapping[str, Any]) -> None:
    """Set dotted keys in order, but the names of classes first, because a name removes the keys of another class."""
    pairs = list(pairs)
    named = {key: value for key, value in reversed(pairs) if key in NAMES}
    for key, value in (*((key, named[key]) for key in NAMES if key in named), *pairs):
        _set(tree, key, value, defaults)


def _set(tree: dict[str, Any], key: str, value: Any, defaults: Mapping[str, Any]) -> None:
    *path, last = key.split(".")
    for part in path:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise UserError(f"{key}: {part} is a value, not a table of keys; set {key[: key.index(part)]}{part} itself")
    if isinstance(value, str) and value.startswith("["):
        value = _list(key, value)
    if key in NAMES and tree.get(last, defaults.get(key, value)) != value:
        forget(tree, NAMES[key].base)
    tree[last] = value


def _list(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        words = json.dumps([part.strip(" '\"") for part in text.strip("[]").split(",")])
        raise UserError(f"{key}: {text} is no list; write it as {words}, within ' and ' in a shell") from None


def anchor(tree: dict[str, Any], folder: Path) -> None:
    """Make the data path in a file absolute: from the working directory if it exists there, else from the file."""
    data = tree.get("data")
    path = data.get("path") if isinstance(data, dict) else None
    if isinstance(path, str) and path:
        here = Path(path).expanduser()
        tree["data"]["path"] = str(
            (here if here.exists() else folder / here if (folder / here).exists() else here).absolute()
        )


def as_toml(value: bool | int | float | str) -> str:
    """Return a value as TOML without a blank, because blanks separate overrides."""
    plain = _list("overrides", value) if isinstance(value, str) and value.startswith("[") else value
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return re.sub(r"\s", lambda blank: f"\\u{ord(blank[0]):04x}", text)
