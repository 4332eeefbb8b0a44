"""Low rank: a matrix as the product of two thin ones, the best there are (Eckart and Young, Psychometrika 1936)."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from fedkd.deployment.compression.base import Compression
from fedkd.deployment.compression.packed import Packed, Place


class LowRankTables(Compression):
    """Matrices as products of two thin ones, where these hold fewer numbers.

    Attributes
    ----------
    rank : int
        Width of the thin matrices.
    """

    kind: Literal["low-rank"] = "low-rank"
    rank: int = Field(16, ge=1)

    def packed(self, place: Place) -> Packed | None:
        """Return the two factors; None for what is no matrix, or would not become smaller."""
        shape = place.tensor.shape
        fewer = len(shape) == 2 and self.rank * sum(shape) < place.tensor.numel()
        return Product(place.tensor, self.rank) if fewer else None


class Product(Packed):
    """The product of two thin matrices.

    Parameters
    ----------
    tensor : Tensor, shape [rows, columns]
        The matrix that they approximate.
    rank : int
        Their width.
    """

    further: ClassVar[tuple[str, ...]] = ("left", "right")
    left: Tensor
    right: Tensor

    def __init__(self, tensor: Tensor, rank: int) -> None:
        super().__init__()
        left, values, right = torch.linalg.svd(tensor.double(), full_matrices=False)
        root = values[:rank].sqrt()
        self.register_buffer("left", (left[:, :rank] * root).float().contiguous())
        self.register_buffer("right", (root[:, None] * right[:rank]).float().contiguous())

    def forward(self) -> Tensor:
        """Return the product."""
        return self.left @ self.right
