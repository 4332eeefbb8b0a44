"""Items as rows of numbers on their way into a model and out of it; most of a small model's size.

Rows are of several kinds (`fedkd.models.item_rows`), and one table may serve both ways (``tied``: Press & Wolf, EACL
2017).
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from fedkd.data.catalogue import Catalogue
from fedkd.models.content import content_features
from fedkd.models.item_rows import OWN, ContentRows, EightBitRows, FactorisedRows, FullRows, HashedRows, ItemRows
from fedkd.options import Options, Searched


class ItemTableOptions(Options):
    """Settings of a model's item tables.

    Attributes
    ----------
    kind : str
        ``full``, ``8-bit``, ``factorised`` or ``hashed``.
    tied : bool
        Whether one table serves as input and as output; then their widths must agree.
    rank : int
        An item's own numbers where tables are ``factorised``.
    buckets : int
        Rows that items share where tables are ``hashed``.
    content : bool
        Whether categories, title words and vectors of the catalogue are added to the rows.
    words : int
        Dimensions of the hashed words of a title, where there is content.
    """

    kind: Literal["full", "8-bit", "factorised", "hashed"] = "full"
    tied: Annotated[bool, Searched(())] = False
    rank: int = Field(8, ge=1)
    buckets: int = Field(512, ge=1)
    content: bool = False
    words: int = Field(256, ge=0)

    def rows(self, catalogue: Catalogue, width: int, scale: float) -> ItemRows:
        """Return a new table; its rows have about the standard deviation ``scale``, own ones beside content 0."""
        own = self._own(len(catalogue), width, 0.0 if self.content else scale)
        return ContentRows(own, content_features(catalogue, self.words), scale) if self.content else own

    def _own(self, num_items: int, width: int, scale: float) -> ItemRows:
        if self.kind == "factorised":
            return FactorisedRows(num_items, width, self.rank, scale)
        if self.kind == "hashed":
            return HashedRows(num_items, width, self.buckets, scale)
        own = EightBitRows if self.kind == "8-bit" else FullRows
        return own(num_items, width, scale)


FULL = ItemTableOptions()
"""A table of its own for each way, and no content."""


class ItemSum(nn.Module):
    """A linear layer over histories, ``x W + b``, whose weight has a row for every item.

    Parameters
    ----------
    num_items, width : int
    scale : float
        Standard deviation of the first weights.
    bias : bool
        Whether there is a bias; it begins at 0.
    """

    item_axes: ClassVar[Mapping[str, int] | None] = OWN

    def __init__(self, num_items: int, width: int, scale: float, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_items, width) * scale)
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def rows(self) -> Tensor:
        """Return the weight."""
        return self.weight

    @property
    def num_items(self) -> int:
        """Number of items."""
        return len(self.weight)

    def forward(self, history: Tensor) -> Tensor:
        """Return sums of rows, shape [batch, width], for weighted histories of shape [batch, items]."""
        total = history @ self.weight
        return total if self.bias is None else total + self.bias


class RowSum(nn.Module):
    """``ItemSum`` with rows of any kind."""

    def __init__(self, rows: ItemRows, width: int, bias: bool) -> None:
        super().__init__()
        self.table = rows
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def rows(self) -> Tensor:
        """Return the rows."""
        return self.table.rows()

    @property
    def num_items(self) -> int:
        """Number of items."""
        return self.table.num_items

    def forward(self, history: Tensor) -> Tensor:
        """Return sums of rows, shape [batch, width], for weighted histories of shape [batch, items]."""
        total = history @ self.rows()
        return total if self.bias is None else total + self.bias


class ItemScores(nn.Linear):
    """A linear layer to the catalogue; normal weights, a row for every item, and a bias of 0 if any."""

    item_axes: ClassVar[Mapping[str, int] | None] = {**OWN, "bias": 0}

    def __init__(self, num_items: int, width: int, scale: float, bias: bool) -> None:
        super().__init__(width, num_items, bias=bias, device="meta")  # draws nothing there
        self.weight = nn.Parameter(torch.randn(num_items, width) * scale)
        if bias:
            self.bias = nn.Parameter(torch.zeros(num_items))


class RowScores(nn.Module):
    """``ItemScores`` with rows of any kind, its own or those of another layer.

    Parameters
    ----------
    rows : ItemRows, ItemSum or RowSum
        Has a method ``rows``.
    num_items : int
    bias : bool
        Whether there is a bias for every item; it begins at 0.
    tied : bool
        Whether the rows belong to another layer, which holds, counts and sends them.
    """

    item_axes: ClassVar[Mapping[str, int] | None] = {"bias": 0}

    def __init__(self, rows: "ItemRows | ItemSum | RowSum", num_items: int, bias: bool, tied: bool) -> None:
        super().__init__()
        self._source = (rows,)  # inside a tuple torch does not see the layer, which has a place of its own
        if not tied:
            self.table = rows
        self.bias = nn.Parameter(torch.zeros(num_items)) if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """Return scores, shape [..., items]."""
        scores = features @ self._source[0].rows().T
        return scores if self.bias is None else scores + self.bias


def item_sum(catalogue: Catalogue, width: int, scale: float, bias: bool, options: ItemTableOptions) -> ItemSum | RowSum:
    """Return a layer over weighted histories; see ``ItemSum``."""
    if options.kind == "full" and not options.content:
        return ItemSum(len(catalogue), width, scale, bias)
    return RowSum(options.rows(catalogue, width, scale), width, bias)


def item_scores(
    catalogue: Catalogue,
    width: int,
    scale: float,
    bias: bool,
    options: ItemTableOptions,
    source: "ItemRows | ItemSum | RowSum",
) -> ItemScores | RowScores:
    """Return a layer to the catalogue; ``source`` is the layer whose rows it shares where tables are tied."""
    if options.tied:
        return RowScores(source, len(catalogue), bias, tied=True)
    if options.kind == "full" and not options.content:
        return ItemScores(len(catalogue), width, scale, bias)
    return RowScores(options.rows(catalogue, width, scale), len(catalogue), bias, tied=False)


def item_tables(model: nn.Module) -> dict[str, int]:
    """Return the parameters of a model's layers that hold a slice for every item, and their axis of items.

    Empty where the slices of a part of the catalogue are no model of it: hashes and content know items by position.
    """
    layers = [(name, layer) for name, layer in model.named_modules() if hasattr(layer, "item_axes")]
    axes = {name: layer.item_axes for name, layer in layers}
    if any(own is None for own in axes.values()):
        return {}
    known = {name for name, _ in model.named_parameters()}
    named = {f"{layer}.{name}": axis for layer, own in axes.items() for name, axis in own.items()}
    return {name: axis for name, axis in named.items() if name in known}


@torch.no_grad()
def forget_own_rows(model: nn.Module, items: Tensor) -> None:
    """Leave content alone to speak for some items, in place; a model without content stays as it is.

    A softmax over the catalogue teaches own rows of items that nobody has touched to contradict their content, because
    they never are the answer. Their own rows become 0 again, their biases the mean of all others.

    Parameters
    ----------
    model : Module
        A trained model.
    items : Tensor of bool, shape [items]
        The items that training did not touch.
    """
    tables = [layer for layer in model.modules() if isinstance(layer, ContentRows)]
    for table in tables:
        for name, axis in (table.own.item_axes or {}).items():
            own = table.own.get_parameter(name)
            own.masked_fill_(items.view(-1, *[1] * (own.ndim - 1)).movedim(0, axis), 0.0)
    scores = [layer for layer in model.modules() if isinstance(layer, RowScores) and layer.bias is not None]
    for layer in scores if tables and not items.all() else []:
        assert layer.bias is not None
        layer.bias[items] = layer.bias[~items].mean()
