"""Federated knowledge distillation for recommender systems."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedkd.api import distil, evaluate, federate, load, recommend, split, train_teacher
    from fedkd.runs.in_memory import FederatedRun

__version__ = "0.1.0"

__all__ = ["FederatedRun", "distil", "evaluate", "federate", "load", "recommend", "split", "train_teacher"]

if not TYPE_CHECKING:  # a type checker would take every other name for one of the package too

    def __getattr__(name: str) -> Any:
        """Return a name of ``fedkd.api``, which is imported when one is first asked for: torch takes seconds."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module("fedkd.api"), name)


def __dir__() -> list[str]:
    """Return all names, those not yet imported too."""
    return sorted({*globals(), *__all__})
