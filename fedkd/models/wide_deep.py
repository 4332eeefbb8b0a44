"""A trained model beside a linear one that is written down: what a few weights say well is not learnt again.

Cheng et al., Wide & deep learning for recommender systems, DLRS 2016: the wide part remembers which items go together,
the deep part generalises. Here the wide part is a closed form, and training leaves it as it is.
"""

import torch
from torch import Tensor, nn

from fedkd.errors import UserError
from fedkd.models.base import Recommender, parts_of
from fedkd.models.standardised import Standardised


class WideDeep(Recommender):
    """Scores ``gain * standardised(wide(x)) + deep(x)``; the gain is learnt with the deep part.

    Parameters
    ----------
    wide : Recommender
        The linear model, which training leaves as it is.
    deep : Recommender
        The model that learns.
    gain : float
        The gain at the beginning: what makes the standardised scores of the wide part logits.

    Raises
    ------
    UserError
        The two have different catalogues.
    """

    def __init__(self, wide: Recommender, deep: Recommender, gain: float) -> None:
        if wide.num_items != deep.num_items:
            raise UserError(
                f"the wide part scores {wide.num_items} items, the deep part {deep.num_items}; give both one catalogue"
            )
        super().__init__(deep.num_items)
        self.wide, self.deep = Standardised(wide.requires_grad_(False)), deep
        self.gain = nn.Parameter(torch.tensor(float(gain)))

    def hidden(self, history: Tensor) -> Tensor:
        """Return the features of the deep part."""
        return self.deep.hidden(history)

    @property
    def reach(self) -> int | None:
        """The most recent items at which the deep part looks."""
        return self.deep.reach

    def scores_after(self, history: Tensor, places: Tensor) -> Tensor:
        """Return the scores after parts of every history, which the deep part reads once."""
        wide: Tensor = self.wide(parts_of(history, places, self.num_items))
        return self.gain * wide.reshape(*places.shape, -1) + self.deep.scores_after(history, places)

    def forward(self, history: Tensor) -> Tensor:
        """Return scores, shape [batch, items]."""
        scores: Tensor = self.gain * self.wide(history) + self.deep(history)
        return scores

    def uncounted_flops(self, history: Tensor) -> int:
        """Return those of both parts."""
        return self.wide.model.uncounted_flops(history) + self.deep.uncounted_flops(history)

    def size(self) -> tuple[int, int]:
        """Return the numbers and the bytes of both parts and the gain."""
        parts = [self.wide.model.size(), self.deep.size()]
        return sum(numbers for numbers, _ in parts) + 1, sum(size for _, size in parts) + self.gain.element_size()
