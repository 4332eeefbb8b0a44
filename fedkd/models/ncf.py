"""Neural collaborative filtering: scores of pairs of user and item."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn


class NCF(nn.Module):
    """A user vector and an item vector through a small multi-layer perceptron (He et al., WWW 2017, the MLP tower).

    Unlike a ``Recommender`` it knows users by number. On a device there is one of them, whose vector never leaves it.

    Parameters
    ----------
    num_items : int
        Size of the catalogue.
    num_users : int
        Users with a vector here; 1 on a device.
    dimensions : int
        Length of user and item vectors; the hidden layers have ``2 * dimensions`` and ``dimensions`` units.
    """

    item_tables: ClassVar[dict[str, int]] = {"item.weight": 0}

    def __init__(self, num_items: int, num_users: int = 1, dimensions: int = 16) -> None:
        super().__init__()
        self.num_items = num_items
        self.user = nn.Embedding(num_users, dimensions)
        self.item = nn.Embedding(num_items, dimensions)
        self.first = nn.Linear(2 * dimensions, 2 * dimensions)
        self.second = nn.Linear(2 * dimensions, dimensions)
        self.last = nn.Linear(dimensions, 1)
        for table in (self.user, self.item):
            nn.init.normal_(table.weight, std=0.01)

    def forward(self, items: Tensor, users: Tensor | None = None) -> Tensor:
        """Return the logits of pairs, shape [batch].

        Parameters
        ----------
        items : Tensor of int64, shape [batch]
            Item positions.
        users : Tensor of int64, shape [batch], optional
            User positions; omitted where the model has one user.
        """
        user = self.user(torch.zeros_like(items) if users is None else users)
        wide = torch.relu(self.first(torch.cat([user, self.item(items)], -1)))
        logits: Tensor = self.last(torch.relu(self.second(wide)))
        return logits.squeeze(-1)

    @staticmethod
    def stacked(parameters: Mapping[str, Tensor], items: Tensor) -> Tensor:
        """Return the logits of many one-user models at once, shape [clients, batch]; equal to ``forward`` of each.

        ``W [user, item]`` is ``W_user user + W_item item``, so pairs are never copied together, the lone user is
        multiplied once, together with the bias.

        Parameters
        ----------
        parameters : mapping of str to Tensor, shape [clients, ...]
        items : Tensor of int64, shape [clients, batch]
        """
        table, user = parameters["item.weight"], parameters["user.weight"]
        ends = table.shape[0] * table.shape[1]
        first = torch.arange(0, ends, table.shape[1], device=items.device).unsqueeze(1)
        item = table.flatten(0, 1).index_select(0, (items + first).flatten()).view(*items.shape, -1)
        for_user, for_item = parameters["first.weight"].mT.chunk(2, dim=1)
        of_user = torch.baddbmm(parameters["first.bias"].unsqueeze(1), user, for_user)
        hidden = torch.baddbmm(of_user, item, for_item).relu_()
        weight, bias = parameters["second.weight"], parameters["second.bias"]
        hidden = torch.baddbmm(bias.unsqueeze(1), hidden, weight.mT).relu_()
        # One output a pair: a sum of products is faster than a matrix product with a single column.
        return (hidden * parameters["last.weight"]).sum(-1) + parameters["last.bias"]
