"""Teachers and students of residual distillation from their arrays, whose names tell which model they are."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fedkd.models.base import Recommender
from fedkd.models.decayed_linear import DecayedLinear, SparseDecayed
from fedkd.models.ease import EASE
from fedkd.models.linear import LowRank
from fedkd.models.woodbury import WoodburyEASE


def restored(arrays: Mapping[str, NDArray[Any]], num_items: int) -> Recommender | None:
    """Return the model that some arrays are, of any float type; None where there are none."""
    if "encoder.weight" in arrays:
        return LowRank.from_factors(arrays["encoder.weight"], arrays["decoder.weight"])
    if "values" in arrays:
        return SparseDecayed.from_arrays(arrays, num_items)
    if "rates" in arrays:
        return DecayedLinear(arrays["weights"], arrays["rates"])
    if "weights" in arrays:
        return EASE(arrays["weights"])
    return WoodburyEASE(arrays["root"].T, arrays["scale"], arrays["stiffness"]) if "root" in arrays else None
