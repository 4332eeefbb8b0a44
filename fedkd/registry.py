"""Tables of named classes that a configuration chooses from, and a user's own classes beside them."""

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import ValidationError, model_validator
from pydantic.fields import FieldInfo

from fedkd.errors import UserError
from fedkd.options import Options, kebab


class Choice(Options):
    """Settings of a class that a configuration chooses by name.

    A class of the package has its name as the default of the field ``key``; any other class is named by its path,
    ``package.module:Class``.

    Attributes
    ----------
    key : str
        The field that holds the name.
    """

    key: ClassVar[str] = "name"

    @classmethod
    def __pydantic_init_subclass__(cls, **given: Any) -> None:
        """Take the inherited name from a class that has none of its own: its path names it."""
        super().__pydantic_init_subclass__(**given)
        if cls.key in cls.model_fields and cls.key not in inspect.get_annotations(cls):
            cls.model_fields[cls.key] = FieldInfo(annotation=str)
            cls.model_rebuild(force=True)

    @model_validator(mode="before")
    @classmethod
    def _with_own_label(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or {cls.key, kebab(cls.key)} & given.keys():
            return given
        return {**given, cls.key: cls.label()}

    def completed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a table completed by this one, unless it chooses another class."""
        own = getattr(self, self.key)
        return super().completed(given) if given.get(self.key, own) == own else dict(given)

    @classmethod
    def label(cls) -> str:
        """Return the name by which a configuration chooses this class."""
        field = cls.model_fields[cls.key]
        return f"{cls.__module__}:{cls.__qualname__}" if field.is_required() else str(field.default)


T = TypeVar("T")
C = TypeVar("C", bound=Choice)


class Table(Generic[T]):
    """The classes of one kind, by name; wherever a name stands, ``package.module:Class`` may stand too.

    Parameters
    ----------
    kind : str
        The kind, for error messages: ``protocol``, ``model``, ``data source``.
    base : type
        The class that every other one, a user's own too, must be a subclass of.
    members : mapping of str to type
        The classes that come with the package, a line each.
    """

    def __init__(self, kind: str, base: Any, members: Mapping[str, type[T]]) -> None:
        self.kind = kind
        self.base: type[T] = base  # an abstract class is no ``type[T]`` for type checkers
        self._members = dict(members)

    def __iter__(self) -> Iterator[type[T]]:
        return iter(self._members.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes that come with the package."""
        return tuple(self._members)

    def find(self, name: str) -> type[T]:
        """Return the class of a name, or of a path such as ``package.module:Class``.

        Raises
        ------
        UserError
            There is no such name, module or class, or the class is not of this kind.
        """
        if name in self._members:
            return self._members[name]
        if ":" in name:
            return imported(name, self.base, self.kind)
        raise unknown(self.kind, name, self.names, ", or a class of your own as package.module:Class")


def unknown(kind: str, name: str, names: Sequence[str], others: str = "") -> UserError:
    """Return the error that there is nothing of a name, with the nearest name there is and all that are allowed."""
    close = difflib.get_close_matches(name, names, n=1)
    hint = f", did you mean {close[0]}" if close else ""
    return UserError(f"there is no {kind} {name!r}{hint}; allowed are {', '.join(names) or 'none'}{others}")


class Registry(Table[C]):
    """A table of settings classes, from which a configuration's table of keys chooses.

    Parameters
    ----------
    kind, base
        As of ``Table``.
    members : type
        The classes that come with the package.
    """

    def __init__(self, kind: str, base: Any, *members: type[C]) -> None:
        super().__init__(kind, base, {member.label(): member for member in members})

    def made(self, text: str) -> C:
        """Return what ``name`` or ``name:key=value,...`` describes.

        Raises
        ------
        UserError
            There is nothing of that name, or it has no such setting.
        """
        name, settings = _divided(text)
        found = self.find(name)
        given = dict(pair.partition("=")[::2] for pair in settings.split(",")) if settings else {}
        try:
            return found.model_validate({**given, found.key: name})
        except ValidationError as error:
            wrong = "; ".join(map(_wrong, error.errors()))
            raise UserError(f"{self.kind} {text!r}: {wrong}{_settings(found)}") from None

    def parse(self, default: str) -> "Reader[C]":
        """Return a validator that turns a mapping into an instance of the class it names.

        Parameters
        ----------
        default : str
            The name where a mapping has none.
        """
        return Reader(self, default)


def _wrong(detail: Any) -> str:
    key = ".".join(map(str, detail["loc"]))
    return f"{key} {'is no setting' if detail['type'] == 'extra_forbidden' else detail['msg']}"


def _settings(found: type[Choice]) -> str:
    names = [field.alias or name for name, field in found.model_fields.items() if name != found.key]
    return f"; its settings are {', '.join(names)}" if names else ""


def _divided(text: str) -> tuple[str, str]:
    """Return a name, which may be a path with a colon of its own, and the settings behind it."""
    head, _, rest = text.partition(":")
    if "." in head:
        inner, _, settings = rest.partition(":")
        return f"{head}:{inner}", settings
    return head, rest


@dataclass(frozen=True)
class Reader(Generic[C]):
    """The validator of a field whose class a configuration chooses.

    Attributes
    ----------
    registry : Registry
        The classes to choose from.
    default : str
        The name where a mapping has none.
    """

    registry: Registry[C]
    default: str

    def __call__(self, value: Any) -> Any:
        """Return an instance for a mapping, anything else as it is."""
        if not isinstance(value, Mapping):
            return value
        key = self.registry.base.key
        name = str(value.get(key, self.default))
        return self.registry.find(name).model_validate({**value, key: name})


def imported(path: str, base: type[T], kind: str) -> type[T]:
    """Return the class that ``package.module:Class`` names.

    Raises
    ------
    UserError
        The module cannot be imported, has no such class, or the class is not a subclass of ``base``.
    """
    module, name = _module(path, kind, "Class")
    found = getattr(module, name, None)
    if not inspect.isclass(found):
        classes = ", ".join(n for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, base))
        raise UserError(f"{module.__name__} has no class {name!r} for a {kind}; it has {classes or 'none'}")
    if not issubclass(found, base) or inspect.isabstract(found):
        raise UserError(
            f"{path} is no {kind}: it must be a complete subclass of {base.__module__}.{base.__qualname__}"
            f"{_missing(found)}"
        )
    return found


def imported_function(path: str, kind: str) -> Callable[..., Any]:
    """Return the function that ``package.module:function`` names.

    Raises
    ------
    UserError
        The module cannot be imported, or has no such function.
    """
    module, name = _module(path, kind, "function")
    found = getattr(module, name, None)
    if not inspect.isfunction(found):
        raise UserError(f"{module.__name__} has no function {name!r} for a {kind}")
    return found


ALLOWED: ContextVar[tuple[str, ...] | None] = ContextVar("allowed", default=None)
"""Modules from which a class of one's own may come; None where every module may be imported."""


@contextmanager
def only_modules(names: Sequence[str]) -> Iterator[None]:
    """Refuse paths such as ``package.module:Class`` to modules that are neither among these nor within them."""
    token = ALLOWED.set(tuple(names))
    try:
        yield
    finally:
        ALLOWED.reset(token)


def _module(path: str, kind: str, what: str) -> tuple[ModuleType, str]:
    """Return the module of ``package.module:name``, and the name."""
    module, _, name = path.partition(":")
    allowed = ALLOWED.get()
    if allowed is not None and not any(f"{module}.".startswith(f"{one}.") for one in allowed):
        raise UserError(
            f"the {kind} {path!r} is in a module that the owner of this device has not allowed; they allow it with "
            f"--allow-module {module}"
        )
    if (here := str(Path.cwd())) not in sys.path:  # a command that was installed does not look there by itself
        sys.path.append(here)
    try:
        return importlib.import_module(module), name
    except (ImportError, ValueError, TypeError) as error:
        raise UserError(
            f"the {kind} {path!r} cannot be imported ({error}); name an installed module, or one in the working "
            f"directory, as package.module:{what}"
        ) from None


def _missing(found: type) -> str:
    """Return which abstract methods a class leaves out, for an error message."""
    names = sorted(getattr(found, "__abstractmethods__", ()))
    return f"; {', '.join(names)} must be defined" if names else ""
