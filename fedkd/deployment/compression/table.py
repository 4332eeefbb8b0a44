"""The table of compression steps; a new one is a file and a line here."""

from collections.abc import Sequence

from fedkd.deployment.compression.base import Compression
from fedkd.deployment.compression.half import Half
from fedkd.deployment.compression.low_rank import LowRankTables
from fedkd.deployment.compression.packed import Packed
from fedkd.deployment.compression.pruned import Pruned
from fedkd.deployment.compression.quantised import Int4, Int8, with_bytes
from fedkd.errors import UserError
from fedkd.models.base import Recommender
from fedkd.registry import Registry

COMPRESSIONS: Registry[Compression] = Registry("compression", Compression, Half, Int8, Int4, Pruned, LowRankTables)


def step(text: str) -> Compression:
    """Return the step that ``name`` or ``name:key=value,...`` describes, such as ``pruned:kept=0.3``.

    Raises
    ------
    UserError
        There is no such step, or it has no such setting.
    """
    return COMPRESSIONS.made(text)


def steps(text: str) -> list[Compression]:
    """Return the steps that ``pruned:kept=0.5 + int8`` describes, in their order; see ``step``."""
    return [step(part.strip()) for part in text.split(" + ")]


def compressed(model: Recommender, steps: Sequence[Compression]) -> Recommender:
    """Return a smaller copy of a model, after some steps in their order; the model itself stays as it is.

    Tables that were trained with 8 bits are kept with 8 bits, whatever the steps.

    Raises
    ------
    UserError
        The steps change nothing.
    """
    small = model.eval()
    for one in steps:
        small = one(small)
    if steps and not any(isinstance(module, Packed) for module in small.modules()):
        names = ", ".join(one.kind for one in steps)
        raise UserError(f"{names} finds no table of this model that it could make smaller; leave it out")
    return with_bytes(small)
