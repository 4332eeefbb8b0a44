"""The base of the steps that make a trained model smaller."""

import copy
from abc import ABC, abstractmethod
from typing import ClassVar

from fedkd.deployment.compression.packed import Packed, Place, large_tensors, pack
from fedkd.models.base import Recommender
from fedkd.registry import Choice


class Compression(Choice, ABC):
    """A step that makes a trained model smaller: its settings, and what it does with every large tensor.

    Steps are applied one after the other, each to what the last one left. The result is a model like any other, whose
    stored arrays are fewer or smaller; it scores histories, is measured and is exported in the same way.

    Attributes
    ----------
    kind : str
        The step's name.
    """

    key: ClassVar[str] = "kind"
    kind: str

    @abstractmethod
    def packed(self, place: Place) -> Packed | None:
        """Return the module that computes a tensor from smaller ones; None where the tensor stays as it is."""

    def __call__(self, model: Recommender) -> Recommender:
        """Return a smaller copy of a model."""
        small = copy.deepcopy(model)
        for place in list(large_tensors(small)):
            if (packed := self.packed(place)) is not None:
                pack(place, packed)
        return small.eval()
