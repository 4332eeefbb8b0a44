"""The parts of a configuration whose class is chosen by a name in them."""

from collections.abc import Mapping
from typing import Any, cast

from fedkd.data.sources.table import SOURCES
from fedkd.errors import UserError
from fedkd.models.table import MODELS
from fedkd.options import Options
from fedkd.protocols.table import PROTOCOLS
from fedkd.registry import Registry

CHOSEN: dict[str, Registry[Any]] = {"algorithm": PROTOCOLS, "algorithm.model": MODELS, "data": SOURCES}
"""The classes for each such part; a part comes before the parts inside it."""

NAMES = {f"{part}.{registry.base.key}": registry for part, registry in CHOSEN.items()}
"""The keys that hold these names."""


def forget(tree: dict[str, Any], base: type[Options]) -> None:
    """Remove the keys of the class that was chosen before; keys of the base class stay, as every class has them."""
    for key in [key for key in tree if key.replace("-", "_") not in base.model_fields]:
        del tree[key]


def chosen(tree: Mapping[str, Any], part: str) -> type[Options]:
    """Return the class that is chosen for a part, which may be a user's own, or the base class if there is none."""
    registry, found = CHOSEN[part], cast(Any, tree)
    for name in (*part.split("."), registry.base.key):
        found = found.get(name) if isinstance(found, Mapping) else None
    try:
        return registry.find(str(found))
    except UserError:
        return registry.base
