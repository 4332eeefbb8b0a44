"""Rows of numbers for items, of every kind; layers of `fedkd.models.item_table` read them.

A row may be an item's own (``full``), own with 8 bits a number (``8-bit``), a product of a few own numbers with a
shared basis (``factorised``, as in ALBERT: Lan et al., ICLR 2020), or a sum of shared rows that hashes choose
(``hashed``: Serra & Karatzoglou, Getting deep recommenders fit, RecSys 2017). What the catalogue tells about an item
(``content``) is added through a learnt map, so items that nobody has touched have rows, too.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from fedkd.models.eight_bits import rounded
from fedkd.models.hashing import hashed_positions

HASHES = 2
"""Rows that a hashed item adds up."""

OWN: Mapping[str, int] = {"weight": 0}
"""The parameters of a layer that hold a slice for every item, with their axis of items."""


class ItemRows(nn.Module, ABC):
    """A row of numbers for every item.

    Attributes
    ----------
    item_axes : mapping of str to int, optional
        Parameters that hold a slice for every item, and their axis of items; None where slices of them are no table of
        fewer items.
    """

    item_axes: ClassVar[Mapping[str, int] | None] = None

    @abstractmethod
    def rows(self) -> Tensor:
        """Return all rows, shape [items, width]."""

    @property
    @abstractmethod
    def num_items(self) -> int:
        """Number of items."""

    def forward(self) -> Tensor:
        """Return all rows, shape [items, width]."""
        return self.rows()


class FullRows(ItemRows):
    """A row of its own for every item."""

    item_axes: ClassVar[Mapping[str, int] | None] = OWN

    def __init__(self, num_items: int, width: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_items, width) * scale)

    def rows(self) -> Tensor:
        """Return the rows."""
        return self.weight

    @property
    def num_items(self) -> int:
        """Number of items."""
        return len(self.weight)


class EightBitRows(FullRows):
    """A row of its own for every item, which is used and stored with 8 bits a number.

    Training keeps the weights as they are, for small steps to add up; what is computed is their rounding, whose
    gradient is that of the weights themselves.
    """

    def rows(self) -> Tensor:
        """Return the rounded rows."""
        return rounded(self.weight)


class FactorisedRows(ItemRows):
    """``rank`` own numbers for every item, times a basis that all share."""

    item_axes: ClassVar[Mapping[str, int] | None] = OWN

    def __init__(self, num_items: int, width: int, rank: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_items, rank) * scale)
        self.basis = nn.Parameter(torch.randn(rank, width) * rank**-0.5)

    def rows(self) -> Tensor:
        """Return the product of own numbers and basis."""
        return self.weight @ self.basis

    @property
    def num_items(self) -> int:
        """Number of items."""
        return len(self.weight)


class HashedRows(ItemRows):
    """The sum of two shared rows for every item; which ones, its position alone decides, so it need not be stored."""

    codes: Tensor

    def __init__(self, num_items: int, width: int, buckets: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(buckets, width) * scale * HASHES**-0.5)
        self.register_buffer("codes", hashed_positions(num_items, HASHES, buckets), persistent=False)

    def rows(self) -> Tensor:
        """Return the sums of shared rows."""
        return self.weight[self.codes].sum(1)

    @property
    def num_items(self) -> int:
        """Number of items."""
        return len(self.codes)


class ContentRows(ItemRows):
    """Rows of any kind, plus what a learnt map makes of the items' content.

    Parameters
    ----------
    own : ItemRows
        Rows that the content does not explain; they begin at 0.
    content : Tensor, shape [items, features]
        From the catalogue, which every device has; not stored with the model.
    scale : float
        Standard deviation of the first rows, if every item has features of length 1.
    """

    content: Tensor

    def __init__(self, own: ItemRows, content: Tensor, scale: float) -> None:
        super().__init__()
        self.own = own
        width = own.rows().shape[1]
        self.map = nn.Parameter(torch.randn(content.shape[1], width) * scale)
        self.register_buffer("content", content, persistent=False)

    def rows(self) -> Tensor:
        """Return own rows plus mapped content."""
        return self.own.rows() + self.content @ self.map

    @property
    def num_items(self) -> int:
        """Number of items."""
        return len(self.content)
