"""An ensemble of recommenders: a log-linear pool of their calibrated opinions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedkd.errors import UserError
from fedkd.models.base import Recommender


class Ensemble(Recommender):
    """Adds up its members' logits, ``sum_m w_m s_m / T_m``: the softmax of it is ``prod_m softmax(s_m / T_m)^w_m``.

    Heskes, Selecting weighting factors in logarithmic opinion pools, NeurIPS 1997. With equal weights and temperatures
    of 1 it averages logits, as FedDF does (Lin et al., NeurIPS 2020).

    Parameters
    ----------
    members : sequence of Recommender
        Models of one catalogue, of any kinds; at least one.
    weights, temperatures : sequence of float
        One for each; equal weights that sum to 1, and temperatures of 1, without them.
    """

    weights: Tensor
    temperatures: Tensor

    def __init__(
        self,
        members: Sequence[Recommender],
        weights: Sequence[float] | None = None,
        temperatures: Sequence[float] | None = None,
    ) -> None:
        sizes = sorted({member.num_items for member in members})
        if len(sizes) != 1:
            raise UserError(f"an ensemble needs members of one catalogue; these have {sizes or 'no'} items")
        super().__init__(sizes[0])
        count = len(members)
        self.members = nn.ModuleList(members)
        self.register_buffer("weights", torch.tensor([1 / count] * count if weights is None else [*weights]))
        self.register_buffer("temperatures", torch.tensor([1.0] * count if temperatures is None else [*temperatures]))

    def hidden(self, history: Tensor) -> Tensor:
        """Return the features of all members side by side, shape [batch, features]."""
        return torch.cat([member.features(history)[:, 0] for member in self._recommenders()], -1)

    def forward(self, history: Tensor) -> Tensor:
        """Return logits, shape [batch, items]."""
        scores = torch.stack([member(history) for member in self.members], -1)
        return scores @ (self.weights / self.temperatures)

    def _recommenders(self) -> list[Recommender]:
        return [member for member in self.members if isinstance(member, Recommender)]
