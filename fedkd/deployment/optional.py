"""Packages that only deployment needs, which may not be installed."""

import importlib
from types import ModuleType

from fedkd.errors import UserError


def optional(name: str, what: str) -> ModuleType:
    """Return a package, or raise a ``UserError`` that says how to get it.

    Parameters
    ----------
    name : str
        The package, as it is imported.
    what : str
        What needs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"{what} needs {name}, which is not installed; pip install 'fedkd[serve]'") from None
