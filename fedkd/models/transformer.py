"""The transformer over histories: causal self-attention, learned positions, one item table for input and output.

Kang & McAuley, Self-attentive sequential recommendation, ICDM 2018 (SASRec): blocks of attention and a point-wise
network, ``x + dropout(g(norm(x)))`` each. Positions count from the most recent item, so padding on the left changes
nothing.
"""

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from fedkd.data.catalogue import Catalogue
from fedkd.models.base import ModelConfig
from fedkd.models.item_table import ItemTableOptions, item_scores
from fedkd.models.sequential import SequentialRecommender
from fedkd.options import Searched

HIDDEN = -1e9
"""Score of a position that attention must not see."""


class TransformerConfig(ModelConfig):
    """Settings of the transformer over histories.

    Attributes
    ----------
    width : int
        Width of an item's row and of every layer.
    blocks : int
        Blocks of attention and a point-wise network.
    heads : int
        Heads of attention; they divide the width.
    length : int
        The most recent items of a history that are looked at.
    dropout : float
        Dropout on the embedded items, the attention and the outputs of layers in training.
    items : ItemTableOptions
        The item tables.
    """

    family: Literal["transformer"] = "transformer"
    width: Annotated[int, Searched(multiple_of="heads")] = Field(64, ge=1)
    blocks: int = Field(2, ge=1)
    heads: Annotated[int, Searched(())] = Field(1, ge=1)
    length: int = Field(100, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    items: ItemTableOptions = ItemTableOptions(tied=True)

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads must divide the width, and {self.heads} does not divide {self.width}; change one")
        return self

    def untrained(self, catalogue: Catalogue) -> "Transformer":
        """Return a new model."""
        return Transformer(self, catalogue)


class Transformer(SequentialRecommender):
    """Blocks of causal attention over the embedded items; layer 0 is the embedding, the others are the blocks.

    Parameters
    ----------
    config : TransformerConfig
        The settings.
    catalogue : Catalogue
        The items.
    """

    def __init__(self, config: TransformerConfig, catalogue: Catalogue) -> None:
        width, scale = config.width, config.width**-0.5
        table = config.items.rows(catalogue, width, scale)
        head = item_scores(catalogue, width, scale, False, config.items, table)
        super().__init__(table, head, config.length, config.dropout)
        vars(self)["layers"] = tuple(range(config.blocks + 1))
        self.place = nn.Parameter(torch.randn(config.length, width) * scale)
        self.blocks = nn.ModuleList(Block(width, config.heads, config.dropout) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)

    def states(self, rows: Tensor, real: Tensor, layer: int) -> Tensor:
        """Return the embedded items, or what a block makes of them; the last block's states are normalised."""
        x: Tensor = self.dropout(rows + self.place[-rows.shape[-2] :]) * real
        for block in list(self.blocks)[:layer]:
            x = block(x, real) * real
        return self.norm(x) if layer == self.layers[-1] else x


class Block(nn.Module):
    """Causal attention and a point-wise network, each with a norm before it and its input added to it.

    Parameters
    ----------
    width, heads : int
    dropout : float
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return what the block makes of states of shape [batch, positions, width]."""
        x = x + self.dropout(self._attended(self.first_norm(x), real))
        inner = self.dropout(torch.relu(self.inner(self.second_norm(x))))
        out: Tensor = x + self.dropout(self.outer(inner))
        return out

    def _attended(self, x: Tensor, real: Tensor) -> Tensor:
        query, key, value = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        weights = self.dropout(torch.softmax(scores.masked_fill(~_visible(real), HIDDEN), -1))
        out: Tensor = self.output((weights @ value).transpose(-2, -3).flatten(-2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        """Return shape [batch, heads, positions, width of a head]."""
        return x.view(*x.shape[:-1], self.heads, x.shape[-1] // self.heads).transpose(-2, -3)


def _visible(real: Tensor) -> Tensor:
    """Return which position (row) may see which (column), shape [batch, 1, positions, positions]."""
    length = real.shape[-2]
    earlier = torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
    return (real > 0).transpose(-1, -2).unsqueeze(-3) & earlier
