"""Neural collaborative filtering: scores of pairs of user and item."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional


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
        user = self.user.weight[:1] if users is None else self.user(users)
        # W [user, item] = W_user user + W_item item: the pairs need no copy, and a lone user is multiplied once.
        for_user, for_item = self.first.weight.chunk(2, dim=1)
        wide = functional.linear(self.item(items), for_item, self.first.bias) + functional.linear(user, for_user)
        logits: Tensor = self.last(torch.relu(self.second(torch.relu(wide))))
        return logits.squeeze(-1)
