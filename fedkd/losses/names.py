"""Losses by the names that a configuration gives them."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fedkd.registry import imported_function, unknown

F = TypeVar("F", bound=Callable[..., Any])


def named_loss(kind: str, name: str, table: Mapping[str, F]) -> F | Callable[..., Any]:
    """Return the loss that a table gives a name, or the function that a path names.

    Parameters
    ----------
    kind : str
        The kind of loss, for error messages.
    name : str
        A name of the table, or ``package.module:function``.
    table : mapping of str to callable
        The losses that come with the package.

    Raises
    ------
    UserError
        There is no such name, module or function.
    """
    if ":" in name:
        return imported_function(name, kind)
    if name not in table:
        raise unknown(kind, name, [*table], ", or a function of your own as package.module:function")
    return table[name]
