"""Targets that are parts of histories, which the teacher scores when a step needs them.

A history has many parts, from its oldest item to any other, and a step takes other ones every time. So a student hardly
ever sees an example twice, and memory holds the scores of one step alone, however large the catalogue is. A student
that reads a history item by item has its scores after several parts for the price of one.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedkd.distillation.targets import Targets
from fedkd.models.base import Recommender, padded_histories, parts_of
from fedkd.models.device import beside
from fedkd.ragged import Ragged

WHOLE = 0.5
"""Share of the histories that are seen as a whole, as on devices."""


@dataclass(frozen=True)
class PartTargets(Targets):
    """Random parts of histories, and the teacher's logits for them.

    Attributes
    ----------
    teacher : Recommender
        The teacher.
    scale : float
        Its scores times this are its logits.
    histories : Ragged of int32
        None of them empty.
    parts : int
        Parts of a history in a step.
    ordered : bool
        Whether the order of the items tells something; otherwise they are shuffled, so that any items are a part.
    window : int, optional
        The most recent items at which the student looks; None for all.
    rng : numpy.random.Generator
        Generator of the parts.
    """

    teacher: Recommender
    scale: float
    histories: Ragged
    parts: int
    ordered: bool
    window: int | None
    rng: np.random.Generator

    def __len__(self) -> int:
        return len(self.histories)

    @torch.no_grad()
    def batch(self, rows: NDArray[np.int64], num_items: int) -> dict[str, Tensor]:
        """Return random parts of some histories: one up to a random or the last item, and shorter ones within it."""
        history = padded_histories(self._cut(self.histories.take(rows)), num_items)
        lengths = (history < num_items).sum(1).numpy()
        most = lengths if self.window is None else np.minimum(lengths, self.window)
        back = self.rng.integers(0, most[:, None], (len(rows), self.parts))
        back[:, 0] = 0
        places = torch.from_numpy(history.shape[1] - 1 - back)
        seen = beside(self.teacher, parts_of(history, places, num_items))
        return {"shown": history, "places": places, "seen": seen, "teacher": self.teacher(seen) * self.scale}

    def _cut(self, histories: Ragged) -> Ragged:
        """Return whole histories, or their beginnings up to a random item; shuffled ones where order tells nothing."""
        values, row = histories.values, histories.row_index
        if not self.ordered:
            values = values[np.lexsort((self.rng.random(len(values)), row))]
        kept = self.rng.integers(1, histories.lengths + 1)
        kept = np.where(self.rng.random(len(kept)) < WHOLE, histories.lengths, kept)
        place = np.arange(len(values)) - histories.indptr[row]
        return Ragged(values, histories.indptr).where(place < kept[row])
