"""The recurrent network over histories: one layer of gated units, and a layer from its state to the catalogue.

Hidasi et al., Session-based recommendations with recurrent neural networks, ICLR 2016 (GRU4Rec), with a softmax over
the whole catalogue. The cell is that of Cho et al., EMNLP 2014, in the form of ``torch.nn.GRU``, whose parameters have
the same names and shapes; it is written out because the fused one does not work under ``torch.func.vmap``.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from fedkd.data.catalogue import Catalogue
from fedkd.models.base import ModelConfig
from fedkd.models.item_table import ItemTableOptions, item_scores
from fedkd.models.sequential import SequentialRecommender


class GRUConfig(ModelConfig):
    """Settings of the recurrent network.

    Attributes
    ----------
    width : int
        Width of an item's row and of the state.
    length : int
        The most recent items of a history that are looked at; time and memory grow with it.
    dropout : float
        Dropout on the embedded items in training.
    items : ItemTableOptions
        The item tables.
    """

    family: Literal["gru"] = "gru"
    width: int = Field(32, ge=1)
    length: int = Field(50, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    items: ItemTableOptions = ItemTableOptions()

    def untrained(self, catalogue: Catalogue) -> "GRU":
        """Return a new model."""
        return GRU(self, catalogue)


class GRU(SequentialRecommender):
    """A layer of gated units over the embedded items; layer 0 is the embedding, 1 the units' states.

    Parameters
    ----------
    config : GRUConfig
        The settings.
    catalogue : Catalogue
        The items.
    """

    layers: ClassVar[tuple[int, ...]] = (0, 1)

    def __init__(self, config: GRUConfig, catalogue: Catalogue) -> None:
        width, scale = config.width, config.width**-0.5
        table = config.items.rows(catalogue, width, scale)
        head = item_scores(catalogue, width, scale, True, config.items, table)
        super().__init__(table, head, config.length, config.dropout)
        self.weight_ih, self.weight_hh = (nn.Parameter(torch.randn(3 * width, width) * scale) for _ in range(2))
        self.bias_ih, self.bias_hh = (nn.Parameter(torch.zeros(3 * width)) for _ in range(2))

    def states(self, rows: Tensor, real: Tensor, layer: int) -> Tensor:
        """Return the embedded items, or the units' states; the state is 0 before the first item."""
        x: Tensor = self.dropout(rows)
        if layer == 0:
            return x * real
        given = x @ self.weight_ih.T + self.bias_ih
        state, states = torch.zeros_like(x[..., 0, :]), []
        for position in range(x.shape[-2]):
            here = real[..., position, :]
            state = here * self._next(given[..., position, :], state) + (1 - here) * state
            states.append(state)
        return torch.stack(states, -2)

    def _next(self, given: Tensor, state: Tensor) -> Tensor:
        """Return ``z h + (1 - z) n``, with reset, update and new gates in this order."""
        reset, update, new = given.chunk(3, -1)
        old_reset, old_update, old_new = (state @ self.weight_hh.T + self.bias_hh).chunk(3, -1)
        r, z = torch.sigmoid(reset + old_reset), torch.sigmoid(update + old_update)
        return z * state + (1 - z) * torch.tanh(new + r * old_new)
